//! `phalanx plan`: what start-up comes to, before anything runs.

use std::path::PathBuf;

use clap::builder::{PathBufValueParser, TypedValueParser};

use super::{
    Exit,
    check::Source,
    console::{Console, Output},
};
use crate::{
    manifest,
    plan::Outlook,
    report::text::WIDTH,
    swarm::load_estimates,
    whole::{Unwritable, WholeFile, ends_in},
};

/// Shows what the start-up of a manifest comes to, before anything runs.
///
/// Prints phases, critical path, lower bound and the schedule on the workers there are, by the estimates of the tasks,
/// or by what earlier runs took where the manifest has that kept.
#[derive(Debug, clap::Args)]
pub(super) struct Plan {
    #[command(flatten)]
    source: Source,
    /// Draw the schedule (.svg), or the graph of the tasks for Graphviz (.dot) or Mermaid (.mmd); may be given several
    /// times [default: none].
    #[arg(long = "picture", value_name = "FILE", value_parser = PathBufValueParser::new().try_map(Picture::new))]
    pictures: Vec<Picture>,
}

/// What is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Svg,
    Dot,
    Mermaid,
}

/// Where a picture goes, and as what.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Picture {
    file: WholeFile,
    form: Form,
}

/// The name of a picture does not say what it is.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("it ends in none of .svg, .dot and .mmd; name it after one of the forms a picture has")]
struct UnknownForm;

impl Picture {
    fn new(path: PathBuf) -> Result<Self, UnknownForm> {
        let forms = [("svg", Form::Svg), ("dot", Form::Dot), ("mmd", Form::Mermaid)];
        let form = forms.into_iter().find(|(end, _)| ends_in(&path, end)).ok_or(UnknownForm)?.1;
        Ok(Self { file: WholeFile::new("picture", path), form })
    }

    fn write(&self, outlook: &Outlook) -> Result<(), Unwritable> {
        self.file.write(&match self.form {
            Form::Svg => outlook.svg(),
            Form::Dot => outlook.dot(),
            Form::Mermaid => outlook.mermaid(),
        })
    }
}

impl Plan {
    pub(super) fn run(self, output: Output, console: &mut Console<'_>) -> Exit {
        let variables = match self.source.variables(console) {
            Ok(variables) => variables,
            Err(exit) => return exit,
        };
        let manifest = match manifest::check(&self.source.path, &variables) {
            Ok(manifest) => manifest,
            Err(error) => return console.refuse(&error, output),
        };
        let learned = match manifest.startup.estimates.as_deref().map(load_estimates).transpose() {
            Ok(learned) => learned.unwrap_or_default(),
            Err(error) => {
                console.say(&format!("phalanx: {error}\n"));
                return Exit::Io;
            }
        };
        let outlook = Outlook::learned(&manifest, &learned);
        for picture in &self.pictures {
            if let Err(error) = picture.write(&outlook) {
                console.say(&format!("phalanx: {error}\n"));
                return Exit::Io;
            }
        }
        match output {
            Output { json: true, .. } => console.result(&format!("{:#}\n", outlook.to_json())),
            Output { quiet: true, .. } => Exit::Well,
            _ => console.result(&outlook.text(WIDTH, console.out_palette)),
        }
    }
}
