//! What can be set: name, type, default and meaning of each setting, as the types say into which the configuration is
//! read. There is no other list of settings.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use linkspan_platforms::{Email, PolicyHook, Settings, Sms, TlsFiles, Turn};
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value};

use crate::{
    config::{Listen, MediaBucket, Storage},
    log::Log,
};

/// How deep tables of settings lie in each other at most.
const MAX_DEPTH: usize = 8;

/// Everything that a configuration may hold. Its parts are read one by one (`config.rs`), by these names and types.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it says what there is, and no value of it is ever made")]
struct Everything {
    /// The folder of the store and of media; relative to the configuration file.
    #[schemars(example = &"data", extend("x-restart" = true))]
    data: PathBuf,
    /// Server names of platforms that were taken out for good. Their accounts stay in the store, and nobody can log in to
    /// them.
    #[serde(default)]
    #[schemars(with = "Vec<String>", example = ["old.example"])]
    retired: Vec<String>,
    /// Where the server listens for all platforms.
    #[serde(default)]
    listen: Listen,
    /// The log.
    #[serde(default)]
    #[schemars(extend("x-restart" = true))]
    log: Log,
    /// The store.
    #[serde(default)]
    #[schemars(extend("x-restart" = true))]
    storage: Storage,
    /// Media in a bucket instead of the data folder.
    #[schemars(extend("x-restart" = true))]
    media: Option<MediaBucket>,
    /// How mails are sent, for all platforms that say nothing else.
    email: Option<Email>,
    /// How SMS are sent, for all platforms that say nothing else.
    sms: Option<Sms>,
    /// A program of the operator that is asked before strangers are reached, for all platforms that say nothing else.
    policy: Option<PolicyHook>,
    /// Servers that carry calls, for all platforms that say nothing else.
    turn: Option<Turn>,
    /// The certificate of all platforms that have none of their own.
    tls: Option<TlsFiles>,
    /// A platform. There is a `[[platform]]` for each.
    platform: Vec<Settings>,
}

/// A setting.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    /// Its name with those of the tables that it is in, such as `platform.limits.message`.
    pub(crate) key: String,
    /// What can be set.
    pub(crate) kind: String,
    /// What holds if it is not set. None: it has to be set, or nothing holds.
    pub(crate) default: Option<String>,
    /// Whether it has to be set.
    pub(crate) is_required: bool,
    /// What it means.
    pub(crate) meaning: String,
    /// How it may look.
    pub(crate) example: Option<String>,
    /// Whether it holds from the start of the server only.
    pub(crate) needs_restart: bool,
}

impl Setting {
    /// The name of the table that it is in, which is empty for the outermost.
    fn table(&self) -> &str {
        self.key.rsplit_once('.').map_or("", |(table, _)| table)
    }
}

/// All settings, those of a table together.
pub(crate) fn list_settings() -> Vec<Setting> {
    let generator =
        SchemaSettings::draft2020_12().with(|with| with.inline_subschemas = true).into_generator();
    let schema = generate(generator);
    let mut settings = Vec::new();
    add_all(&mut settings, "", &schema, false, MAX_DEPTH);
    settings.sort_by(|one, other| (one.table(), &one.key).cmp(&(other.table(), &other.key)));
    settings
}

fn generate(generator: SchemaGenerator) -> Value {
    generator.into_root_schema_for::<Everything>().to_value()
}

/// The names of the settings that stand in the outermost table.
pub(crate) fn list_outermost() -> Vec<String> {
    let outermost = |key: &str| key.split('.').next().unwrap_or(key).to_owned();
    let names: BTreeSet<_> = list_settings().iter().map(|it| outermost(&it.key)).collect();
    names.into_iter().collect()
}

/// Says of each setting whether it holds from the start only.
pub(crate) struct Restarts(BTreeMap<String, bool>);

impl Restarts {
    pub(crate) fn of_all() -> Self {
        Self(list_settings().into_iter().map(|it| (it.key, it.needs_restart)).collect())
    }

    /// Whether a setting, or the table of settings with this name, holds from the start only.
    pub(crate) fn needs(&self, key: &str) -> bool {
        let inside = format!("{key}.");
        let known = self.0.get(key).or_else(|| {
            let (_, restart) =
                self.0.range(inside.clone()..).next().filter(|(it, _)| it.starts_with(&inside))?;
            Some(restart)
        });
        known.copied().unwrap_or(false)
    }
}

fn add_all(settings: &mut Vec<Setting>, prefix: &str, table: &Value, needs_restart: bool, depth: usize) {
    let nothing = Map::new();
    let properties = table["properties"].as_object().unwrap_or(&nothing);
    let required = table["required"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (name, schema) in properties {
        let key = format!("{prefix}{name}");
        let needs_restart = needs_restart || schema["x-restart"] == true;
        let inner = inner_table(schema).filter(|_| depth > 0);
        if let Some(inner) = inner {
            add_all(settings, &format!("{key}."), inner, needs_restart, depth - 1);
            continue;
        }
        let is_required = required.iter().any(|it| it == name);
        let default = schema.get("default").filter(|it| !it.is_null()).map(in_toml);
        let example = schema["examples"].as_array().and_then(|all| all.first()).map(in_toml);
        settings.push(Setting {
            key,
            kind: kind_of(schema),
            default,
            is_required,
            // What a table is told apart by has no words of its own.
            meaning: match (words_of(schema), schema.get("const")) {
                (words, Some(_)) if words.is_empty() => "Which kind it is.".to_owned(),
                (words, _) => words,
            },
            example,
            needs_restart,
        });
    }
}

/// The schema of a table in which there are settings: of a table itself, or of each of several.
fn inner_table(schema: &Value) -> Option<&Value> {
    let each = [schema, &schema["items"]];
    let alternatives = each.iter().flat_map(|schema| alternatives_of(schema));
    each.into_iter().chain(alternatives).find(|it| it["properties"].is_object())
}

/// The schemas of which one has to fit.
fn alternatives_of(schema: &Value) -> impl Iterator<Item = &Value> {
    ["anyOf", "oneOf"].iter().filter_map(|key| schema[*key].as_array()).flatten()
}

/// What can be set, in words.
fn kind_of(schema: &Value) -> String {
    let choices = choices_of(schema);
    if !choices.is_empty() {
        return choices.join(", ");
    }
    if let Some(items) = schema.get("items") {
        return format!("list of: {}", kind_of(items));
    }
    if let Some(one) = alternatives_of(schema).find(|it| it["type"] != "null") {
        return kind_of(one);
    }
    let kinds = match &schema["type"] {
        Value::Array(several) => several.iter().filter_map(Value::as_str).find(|it| *it != "null"),
        one => one.as_str(),
    };
    match kinds {
        Some("boolean") => "true or false",
        Some("integer") => "whole number",
        Some("number") => "number",
        Some("string") => "text",
        Some("array") => "list",
        _ => "table",
    }
    .to_owned()
}

/// The words among which one is chosen, if there are such.
fn choices_of(schema: &Value) -> Vec<String> {
    if let Some(all) = schema["enum"].as_array() {
        return all.iter().filter(|it| !it.is_null()).map(in_toml).collect();
    }
    if let Some(one) = schema.get("const") {
        return vec![in_toml(one)];
    }
    let alternatives: Vec<_> =
        alternatives_of(schema).filter(|it| it["type"] != "null").map(choices_of).collect();
    if alternatives.iter().any(Vec::is_empty) { Vec::new() } else { alternatives.concat() }
}

/// A value as it is written in the configuration.
fn in_toml(value: &Value) -> String {
    match value {
        Value::Array(all) => format!("[{}]", all.iter().map(in_toml).collect::<Vec<_>>().join(", ")),
        Value::Object(all) => {
            let pairs = all.iter().map(|(key, value)| format!("{key} = {}", in_toml(value)));
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// What a setting means, in one line.
fn words_of(schema: &Value) -> String {
    schema["description"].as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The page of all settings, docs/settings.md.
pub(crate) fn page() -> String {
    let mut page = String::from(BEGINNING);
    let mut group = None;
    for setting in list_settings() {
        let (table, name) = (setting.table(), setting.key.rsplit('.').next().unwrap_or_default());
        if group.as_deref() != Some(table) {
            page += &heading(table);
            group = Some(table.to_owned());
        }
        let default = match (&setting.default, setting.is_required) {
            (Some(default), _) => format!("`{default}`"),
            (None, true) => "must be set".to_owned(),
            (None, false) => "–".to_owned(),
        };
        let example = setting.example.as_ref().map_or("–".to_owned(), |example| format!("`{example}`"));
        let change = if setting.needs_restart { "restart" } else { "live" };
        let Setting { kind, meaning, .. } = &setting;
        page += &format!("| `{name}` | {kind} | {default} | {meaning} | {example} | {change} |\n");
    }
    page
}

/// What stands above the settings on their page.
const BEGINNING: &str = "# Settings

All settings of the configuration file. This page is made from the program: `linkspan settings > docs/settings.md`.

A change that is *live* holds once the configuration is read again: `linkspan reload`, `systemctl reload linkspan`, or the
signal SIGHUP. All of it is checked first, and with a mistake nothing changes. Others hold after a restart; until then the
old value does.
";

fn heading(table: &str) -> String {
    let title = match table {
        "" => "The whole server".to_owned(),
        "platform" => "`[[platform]]`".to_owned(),
        table => format!("`[{table}]`"),
    };
    let columns = ["setting", "value", "default", "meaning", "example", "change"];
    let lines = columns.map(|_| "---");
    format!("\n## {title}\n\n| {} |\n| {} |\n", columns.join(" | "), lines.join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_that_of_the_program() {
        let stored = include_str!("../../docs/settings.md");
        let page = page();
        let wrong = page.lines().zip(stored.lines()).find(|(now, then)| now != then);
        assert!(
            page == stored,
            "make it anew: linkspan settings > docs/settings.md; the first change: {wrong:?}"
        );
    }

    #[test]
    fn every_setting_says_what_it_means() {
        let settings = list_settings();
        let silent: Vec<_> = settings.iter().filter(|it| it.meaning.is_empty()).map(|it| &it.key).collect();
        assert_eq!(silent, Vec::<&String>::new());
        let find =
            |key: &str| settings.iter().find(|it| it.key == key).expect("there is such a setting").clone();
        let registration = find("platform.registration");
        assert_eq!(registration.kind, "\"open\", \"token\", \"closed\"");
        assert_eq!(registration.default.as_deref(), Some("\"closed\""));
        assert!(find("platform.server_name").is_required && !find("platform.label").is_required);
        assert_eq!(find("platform.limits.message").default.as_deref(), Some("10.0"));
        assert!(find("platform.discovery.name").needs_restart && !find("platform.presence").needs_restart);
        assert_eq!(find("platform.reach.reach").kind, "\"straight\", \"request\", \"ignored\", \"refused\"");
    }
}
