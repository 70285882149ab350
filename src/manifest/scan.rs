//! From bytes to a JSON tree that knows its positions, within bounds.
//!
//! ```text
//! file --at most 16 MiB--> bytes --UTF-8?--> text --depth, values, control characters--> parser --> tree
//! ```
//!
//! A first pass over the text finds what the parser is lenient about (control characters in texts, odd white space)
//! and what would cost it stack or memory (depth, number of values), so the parser only ever sees text it can afford.

use std::{fs::File, io::Read, ops::Range, path::Path};

use jsonc_parser::{
    CollectOptions, ParseOptions, ParseStringErrorKind, ast::Value, errors::ParseErrorKind, parse_to_ast,
};

use super::{
    LoadError,
    fault::{Code, Collector, clean},
};

/// The largest manifest, in bytes.
pub const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// The deepest nesting of objects and lists.
pub const MAX_DEPTH: usize = 64;

/// The most values in one manifest.
pub const MAX_VALUES: usize = 1_000_000;

/// Reads a file, never more than [`MAX_BYTES`] of it, as UTF-8.
pub(super) fn read(path: &Path) -> Result<String, LoadError> {
    let name = path.display().to_string();
    let unreadable = |source| LoadError::Unreadable { file: clean(&name), source };
    let file = File::open(path).map_err(unreadable)?;
    let about = file.metadata().map_err(unreadable)?;
    if about.is_dir() {
        return Err(LoadError::Directory { file: clean(&name) });
    }
    let mut bytes = Vec::new();
    if about.len() <= MAX_BYTES {
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    }
    if about.len() > MAX_BYTES || bytes.len() as u64 > MAX_BYTES {
        let size = if about.is_file() { format!("{} bytes", about.len()) } else { "more".to_owned() };
        let mut faults = Collector::default();
        faults.add(
            Code::TooLarge,
            0..0,
            format!("the manifest is {size} long, more than {MAX_BYTES}"),
            "let `count` and `for_each` make many agents and tasks from one entry",
        );
        return Err(LoadError::Faulty(faults.finish(&name, "")));
    }
    if is_utf16(&bytes) {
        let mut faults = Collector::default();
        let help = "save it as UTF-8, for example by `iconv -f UTF-16 -t UTF-8`";
        faults.add(Code::NotUtf8, 0..0, "the file is UTF-16, not UTF-8", help);
        return Err(LoadError::Faulty(faults.finish(&name, "")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let byte = error.as_bytes()[at];
        let mut faults = Collector::default();
        faults.add(
            Code::NotUtf8,
            at..at + 1,
            format!("the byte 0x{byte:02x} at offset {at} is not UTF-8"),
            "save the file as UTF-8",
        );
        LoadError::Faulty(faults.finish(&name, String::from_utf8_lossy(error.as_bytes())))
    })
}

/// Whether a file is UTF-16 by its mark, or by the form of its first character, which in JSON is in ASCII.
fn is_utf16(bytes: &[u8]) -> bool {
    matches!(bytes, [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, 1..=0x7f, ..] | [1..=0x7f, 0, ..])
}

/// Parses a text, or adds the one fault that keeps it from being JSON.
pub(super) fn parse<'a>(text: &'a str, faults: &mut Collector) -> Option<Value<'a>> {
    if let Err((code, span, message, help)) = survey(text) {
        faults.add(code, span, message, help);
        return None;
    }
    let strict = ParseOptions {
        allow_comments: false,
        allow_loose_object_property_names: false,
        allow_trailing_commas: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    match parse_to_ast(text, &CollectOptions::default(), &strict) {
        Ok(result) if result.value.is_some() => result.value,
        Ok(_) => {
            faults.add(Code::Syntax, 0..0, "the file is empty", "write at least {\"name\": \"my swarm\"}");
            None
        }
        Err(error) => {
            let (start, end) = (error.range().start, error.range().end);
            let after_zero = text.as_bytes().get(start).is_some_and(u8::is_ascii_digit);
            let (message, help) = match error.kind() {
                ParseErrorKind::ExpectedComma if after_zero => {
                    ("a number starts with a needless 0".to_owned(), "write it without, as in 7")
                }
                kind => explain(kind, text.len() <= start),
            };
            // The parser reports what is never closed where it opens; say so, it is the mend.
            faults.add(Code::Syntax, start..end.min(start + 1).max(start), message, help);
            None
        }
    }
}

type Found = (Code, Range<usize>, String, &'static str);

/// The first pass: depth, number of values, control characters and white space that JSON does not have.
fn survey(text: &str) -> Result<(), Found> {
    let (mut depth, mut values) = (0_usize, 1_usize);
    let mut string: Option<usize> = None;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        let found = |code, message: String, help| Err((code, at..at + 1, message, help));
        if let Some(opened) = string {
            match byte {
                b'\n' | b'\r' => {
                    let message = "the text that opens here does not end on its line".to_owned();
                    return Err((
                        Code::Syntax,
                        opened..opened + 1,
                        message,
                        "close it with \", or write \\n for a new line",
                    ));
                }
                0..0x20 => {
                    let message = format!("a text holds the control character U+{byte:04X}");
                    return found(
                        Code::Syntax,
                        message,
                        "remove it, or write it as an escape such as \\t or \\u0007",
                    );
                }
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => string = None,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => string = Some(at),
            b'{' | b'[' => {
                (depth, values) = (depth + 1, values + 1);
                if depth > MAX_DEPTH {
                    let message = format!("objects and lists are nested more than {MAX_DEPTH} deep");
                    return found(
                        Code::TooDeep,
                        message,
                        "a manifest needs less than 10 levels; flatten this one",
                    );
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' => values += 1,
            b'\t' | b'\n' | b'\r' | b' '..0x7f => {}
            0..0x20 | 0x7f => {
                let message = format!("the character U+{byte:04X} has no place in JSON");
                return found(Code::Syntax, message, "remove it");
            }
            _ => {
                let character =
                    text[at..].chars().next().expect("outside of a text every step is one character");
                let message =
                    format!("the character U+{:04X} stands outside of a text", u32::from(character));
                let span = at..at + character.len_utf8();
                let help = if character.is_alphanumeric() {
                    "put texts in double quotes"
                } else {
                    "remove it, or put a plain space or quote in its place"
                };
                return Err((Code::Syntax, span, message, help));
            }
        }
        if values > MAX_VALUES {
            let message = format!("the manifest holds more than {MAX_VALUES} values");
            return found(
                Code::TooLarge,
                message,
                "let `count` and `for_each` make many agents and tasks from one entry",
            );
        }
    }
    Ok(())
}

/// The parser's finding in this project's words: what is wrong and what would be right.
fn explain(kind: &ParseErrorKind, at_end: bool) -> (String, &'static str) {
    use ParseErrorKind as K;
    let (message, help) = match kind {
        K::UnterminatedObject => {
            ("the object that opens here is never closed", "is the file cut off? close it with }")
        }
        K::UnterminatedArray => {
            ("the list that opens here is never closed", "is the file cut off? close it with ]")
        }
        K::String(ParseStringErrorKind::UnterminatedStringLiteral) => {
            ("the text that opens here never ends", "is the file cut off? close it with \"")
        }
        K::String(_) => {
            ("this escape does not exist", "JSON has \\\" \\\\ \\/ \\b \\f \\n \\r \\t and \\uXXXX")
        }
        _ if at_end => ("the file ends in the middle of a value", "is the file cut off?"),
        K::CommentsNotAllowed | K::UnterminatedCommentBlock => {
            ("comments are not allowed in JSON", "remove it, or use the key `description`")
        }
        K::TrailingCommasNotAllowed => ("a comma follows the last value", "remove it"),
        K::ExpectedComma => ("a comma is missing between two values", "put a comma here"),
        K::ExpectedColonAfterObjectKey => ("a colon is missing after a key", "write \"key\": value"),
        K::ExpectedObjectValue => ("a key has no value", "write \"key\": value"),
        K::ExpectedStringObjectProperty | K::UnexpectedTokenInObject => {
            ("a key must be a text in double quotes", "write \"key\": value")
        }
        K::SingleQuotedStringsNotAllowed => ("texts stand in double quotes", "write \" in place of '"),
        K::MultipleRootJsonValues => {
            ("something follows the end of the manifest", "a file holds one object; remove the rest")
        }
        K::UnexpectedCloseBrace => ("this } closes nothing", "remove it, or look for a missing {"),
        K::UnexpectedCloseBracket => ("this ] closes nothing", "remove it, or look for a missing ["),
        K::UnexpectedComma => ("this comma has no value before it", "remove it"),
        K::UnexpectedColon => ("this colon has no key before it", "remove it"),
        K::BareDecimalPointNumbersNotAllowed
        | K::ExpectedDigit
        | K::ExpectedDigitFollowingNegativeSign
        | K::ExpectedPlusMinusOrDigitInNumberLiteral
        | K::HexadecimalNumbersNotAllowed
        | K::NonFiniteNumbersNotAllowed
        | K::UnaryPlusNumbersNotAllowed => ("this is no JSON number", "write it as 12, -3, 0.5 or 1e3"),
        K::NestingDepthExceeded => ("objects and lists are nested too deep", "flatten this one"),
        _ => (
            "this is no JSON value",
            "write a text in double quotes, a number, true, false, null, {...} or [...]",
        ),
    };
    (message.to_owned(), help)
}
