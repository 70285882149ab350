//! What a task carries to its agent: which entry of the manifest it comes from, and for which item of the loop.
//!
//! `3` stands for entry 3, `[3, "src/lib.rs"]` for its item `src/lib.rs`, `[3, 7]` for item 7 of a count, and
//! `[3, {"odd": 0}]` for a path that is no UTF-8, by its number in the [`World`].

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{manifest::Body, swarm::world::World};

/// What one task of an entry is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::swarm) enum Item {
    /// The entry has no loop.
    Only,
    /// The number of a counted task.
    Index(u64),
    /// A file.
    File(PathBuf),
}

impl Item {
    /// The item as it stands in ids and bodies.
    pub(in crate::swarm) fn text(&self) -> OsString {
        match self {
            Item::Only => OsString::new(),
            Item::Index(index) => index.to_string().into(),
            Item::File(path) => path.clone().into_os_string(),
        }
    }
}

/// What the task for an item of an entry carries.
pub(in crate::swarm) fn payload(world: &World, entry: usize, item: &Item) -> Value {
    match item {
        Item::Only => entry.into(),
        Item::Index(index) => json!([entry, index]),
        Item::File(path) => match path.to_str() {
            Some(text) => json!([entry, text]),
            None => json!([entry, {"odd": world.odd_path(path)}]),
        },
    }
}

/// The entry and the body of a task by what it carries.
pub(super) fn read(world: &World, payload: &Value) -> Result<(usize, Body), String> {
    let entry_of = |value: &Value| value.as_u64().and_then(|entry| usize::try_from(entry).ok());
    let found = match payload {
        Value::Array(parts) => match &parts[..] {
            [entry, item] => entry_of(entry).zip(item_of(world, item)),
            _ => None,
        },
        entry => entry_of(entry).map(|entry| (entry, Item::Only)),
    };
    let entry = found.and_then(|(entry, item)| Some((entry, world.manifest.tasks.get(entry)?, item)));
    let Some((number, entry, item)) = entry else {
        return Err(format!("the task carries {payload}, which no entry of the manifest makes"));
    };
    let (_, body) = entry.for_item(&item.text()).map_err(|error| error.to_string())?;
    Ok((number, body))
}

fn item_of(world: &World, item: &Value) -> Option<Item> {
    match item {
        Value::String(text) => Some(Item::File(Path::new(text).to_path_buf())),
        Value::Number(number) => number.as_u64().map(Item::Index),
        Value::Object(odd) => {
            let number = odd.get("odd")?.as_u64()?;
            world.odd_path_at(usize::try_from(number).ok()?).map(Item::File)
        }
        _ => None,
    }
}
