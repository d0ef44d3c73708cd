//! `docs/tracingpipeline.md`: the fields of the CRD and the words of the status, as tables for people.

use std::collections::HashMap;
use std::fmt::Write;

use serde_json::{Map, Value};

use crate::generate::{crd, structural};
use crate::parse::lines::Lines;
use crate::rules::{LABEL_VALUE, TAINT_KEY, message};

/// Where the page lies, from the root of the project.
pub(super) const FILE: &str = "docs/tracingpipeline.md";

const INTRO: &str = include_str!("docs/intro.md");
/// Has every field, in the order that people read them in.
const EXAMPLE: &str = include_str!("../../../deploy/examples/pipeline-full.yaml");
const DECISIONS: &str = include_str!("docs/decisions.md");
const STATUS: &str = include_str!("docs/status.md");
const CONDITIONS: &str = include_str!("docs/conditions.md");

/// The page.
pub(super) fn markdown() -> String {
    let crd = crd().unwrap();
    let version = &crd["spec"]["versions"][0];
    let properties = &version["schema"]["openAPIV3Schema"]["properties"];
    let mut page = Page::default();
    page.paragraph(INTRO);
    page.fields(&properties["spec"]);
    page.paragraph(DECISIONS);
    page.paragraph(STATUS);
    page.status(&properties["status"]);
    page.columns(&version["additionalPrinterColumns"]);
    page.paragraph(CONDITIONS);
    page.words();
    page.0
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn paragraph(&mut self, text: &str) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        writeln!(self.0, "{}", text.trim()).unwrap();
    }

    fn table(&mut self, head: &[&str], rows: &[Vec<String>]) {
        self.0.push('\n');
        let mut line = |cells: &[String]| writeln!(self.0, "| {} |", cells.join(" | ")).unwrap();
        line(&head.iter().map(|&cell| cell.to_owned()).collect::<Vec<_>>());
        line(&vec!["---".to_owned(); head.len()]);
        for row in rows {
            line(row);
        }
    }

    /// A table of the fields that have no members, and one for each that has.
    fn fields(&mut self, spec: &Value) {
        let order = Order::of_example();
        let head = ["field", "type", "default", "may be", "means"];
        let members = order.members("spec", spec);
        let plain = |schema: &Value| schema.get("properties").is_none();
        let (basic, objects): (Vec<_>, Vec<_>) = members.into_iter().partition(|(_, schema)| plain(schema));
        let rows: Vec<_> = basic
            .iter()
            .map(|(name, schema)| row(name, schema, required(spec, name)))
            .collect();
        self.paragraph("### The cluster and the share of its traces");
        self.table(&head, &rows);
        for (name, schema) in objects {
            self.paragraph(&format!("### {name}"));
            self.paragraph(&text_of(schema));
            let mut rows = Vec::new();
            rows_below(&order, name, schema, &mut rows);
            self.table(&head, &rows);
            self.refusals(&rules(schema));
        }
        self.paragraph("### Rules across fields");
        let mut rules = rules(spec);
        rules.insert(0, message::NAME.to_owned());
        self.refusals(&rules);
    }

    fn refusals(&mut self, rules: &[String]) {
        if !rules.is_empty() {
            let rules: Vec<String> = rules.iter().map(|rule| format!("- {rule}")).collect();
            self.paragraph("What breaks a rule is refused with these words:");
            self.paragraph(&rules.join("\n"));
        }
    }

    fn status(&mut self, status: &Value) {
        let mut rows = Vec::new();
        for (name, schema) in status["properties"].as_object().unwrap() {
            if name != "conditions" {
                status_rows(name, schema, &mut rows);
            }
        }
        self.table(&["field", "type", "means"], &rows);
    }

    fn columns(&mut self, columns: &Value) {
        let rows = columns.as_array().unwrap().iter().map(|column| {
            let wide = if column["priority"] == 1 {
                "with `-o wide`"
            } else {
                "always"
            };
            let text = column["description"].as_str().unwrap();
            vec![
                column["name"].as_str().unwrap().to_uppercase(),
                wide.to_owned(),
                text.to_owned(),
            ]
        });
        let rows: Vec<_> = rows.collect();
        self.paragraph("`kubectl get tracingpipelines` shows:");
        self.table(&["column", "shown", "means"], &rows);
    }

    fn words(&mut self) {
        let source = include_str!("../conditions.rs");
        let (types, reasons) = source.split_once("pub mod reasons").unwrap();
        let rows: Vec<_> = documented(types)
            .into_iter()
            .map(|(word, text)| vec![code(&word), text])
            .collect();
        self.table(&["condition", "true means"], &rows);
        self.paragraph("The reasons:");
        let rows = documented(reasons).into_iter().map(|(word, text)| {
            let (of, text) = text
                .split_once(": ")
                .expect("a reason says of which condition it is");
            vec![code(&word), of.to_owned(), upper_first(text)]
        });
        let rows: Vec<_> = rows.collect();
        self.table(&["reason", "of", "means"], &rows);
    }
}

/// The word and the text of each constant: `/// TEXT` above `pub const NAME: &str = "WORD";`.
fn documented(source: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut text = Vec::new();
    for line in source.lines().map(str::trim) {
        if let Some(line) = line.strip_prefix("/// ") {
            text.push(line);
        } else if line.starts_with("pub const") {
            found.push((line.split('"').nth(1).unwrap().to_owned(), text.join(" ")));
            text.clear();
        } else {
            text.clear();
        }
    }
    found
}

/// Fields by their line in the example; those that it does not show follow in the order of letters.
struct Order(HashMap<String, usize>);

impl Order {
    fn of_example() -> Self {
        let documents = Lines::of_documents(EXAMPLE);
        let mut order = HashMap::new();
        for (path, line) in documents[0].all() {
            let path: String = path.chars().filter(|c| !c.is_ascii_digit()).collect();
            let first = order.entry(path).or_insert(line);
            *first = line.min(*first);
        }
        Self(order)
    }

    /// The members of an object at `path`, in order.
    fn members<'a>(&self, path: &str, schema: &'a Value) -> Vec<(&'a String, &'a Value)> {
        let mut members: Vec<_> = schema["properties"].as_object().unwrap().iter().collect();
        let line = |name: &String| {
            self.0
                .get(&format!("{path}.{name}"))
                .copied()
                .unwrap_or(usize::MAX)
        };
        members.sort_by_key(|(name, _)| (line(name), name.to_owned()));
        members
    }
}

/// A policy in another one has what a policy has; that stands in the table once.
fn rows_below(order: &Order, path: &str, schema: &Value, rows: &mut Vec<Vec<String>>) {
    let is_member = path.contains("SubPolicy");
    for (name, below) in order.members(&format!("spec.{path}"), schema) {
        let path = format!("{path}.{name}");
        if is_member {
            let is_known = below["description"].as_str().unwrap().starts_with("For `");
            if !is_known || ["and", "not"].contains(&name.as_str()) {
                rows.push(row(&path, below, required(schema, name)));
            }
            continue;
        }
        if below.get("properties").is_some() {
            // An object that is always there is only its members.
            if below.get("default").is_none() {
                rows.push(row(&path, below, required(schema, name)));
            }
            rows_below(order, &path, below, rows);
            continue;
        }
        rows.push(row(&path, below, required(schema, name)));
        if below["items"].get("properties").is_some() {
            rows_below(order, &format!("{path}[]"), &below["items"], rows);
        }
    }
}

fn status_rows(path: &str, schema: &Value, rows: &mut Vec<Vec<String>>) {
    if let Some(members) = schema["properties"].as_object() {
        for (name, below) in members {
            status_rows(&format!("{path}.{name}"), below, rows);
        }
        return;
    }
    rows.push(vec![code(path), type_of(schema), text_of(schema)]);
    if schema["items"].get("properties").is_some() {
        status_rows(&format!("{path}[]"), &schema["items"], rows);
    }
}

fn required(parent: &Value, name: &str) -> bool {
    let required = parent["required"].as_array().into_iter().flatten();
    required.into_iter().any(|it| it == name)
}

fn row(path: &str, schema: &Value, required: bool) -> Vec<String> {
    let default = match schema.get("default") {
        _ if required => "required".to_owned(),
        None => "none".to_owned(),
        Some(Value::String(text)) => code(text),
        Some(Value::Object(members)) if members.is_empty() => "none".to_owned(),
        Some(Value::Array(items)) if items.is_empty() => "none".to_owned(),
        Some(value) => code(&value.to_string()),
    };
    vec![
        code(path),
        type_of(schema),
        default,
        may_be(schema),
        text_of(schema),
    ]
}

fn type_of(schema: &Value) -> String {
    match schema["type"].as_str() {
        None => "number or string".to_owned(),
        Some("integer") => "number".to_owned(),
        Some("array") => format!("list of {}s", type_of(&schema["items"])),
        Some("object") if schema.get("additionalProperties").is_some() => "map of strings".to_owned(),
        Some(other) => other.to_owned(),
    }
}

/// Choices, bounds and rules, in words.
fn may_be(schema: &Value) -> String {
    let mut said = Vec::new();
    let choices = schema["enum"].as_array().or(schema["items"]["enum"].as_array());
    if let Some(choices) = choices {
        let choices: Vec<String> = choices.iter().map(|it| code(it.as_str().unwrap())).collect();
        said.push(choices.join(", "));
    }
    let members = schema.as_object().unwrap();
    said.extend(structural::bounds(members).map(|text| lower_first(text.trim_end_matches('.'))));
    match schema["pattern"].as_str() {
        Some(TAINT_KEY) => said.push("the key of a taint".to_owned()),
        Some(LABEL_VALUE) => said.push("the value of a taint".to_owned()),
        Some(pattern) => said.push(code(&pattern.replace('|', "\\|"))),
        None => {}
    }
    let count = |word: &str, what: &str| schema[word].as_u64().map(|most| format!("at most {most} {what}"));
    said.extend(count("maxItems", "items"));
    said.extend(count("maxProperties", "members"));
    said.extend(rules(schema).into_iter().chain(rules(&schema["items"])));
    // The length of a number or of a duration is no news.
    if said.is_empty() {
        said.extend(count("maxLength", "characters"));
    }
    said.join("; ")
}

fn rules(schema: &Value) -> Vec<String> {
    let rules = schema["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten();
    rules
        .map(|rule| rule["message"].as_str().unwrap().to_owned())
        .collect()
}

/// The text without what has a column of its own.
fn text_of(schema: &Value) -> String {
    let mut text = schema["description"].as_str().unwrap();
    let members: &Map<String, Value> = schema.as_object().unwrap();
    for said in [structural::default(members), structural::bounds(members)]
        .into_iter()
        .flatten()
    {
        text = text.strip_suffix(said.as_str()).unwrap_or(text).trim_end();
    }
    text.to_owned()
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

fn upper_first(text: &str) -> String {
    text.chars()
        .take(1)
        .flat_map(char::to_uppercase)
        .chain(text.chars().skip(1))
        .collect()
}

fn lower_first(text: &str) -> String {
    text.chars()
        .take(1)
        .flat_map(char::to_lowercase)
        .chain(text.chars().skip(1))
        .collect()
}

#[test]
fn the_full_example_has_every_field_of_the_spec() {
    let order = Order::of_example();
    let crd = crd().unwrap();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let mut rows = Vec::new();
    for (name, below) in schema["properties"].as_object().unwrap() {
        rows.push(row(name, below, false));
        if below.get("properties").is_some() {
            rows_below(&order, name, below, &mut rows);
        }
    }
    // The default toleration needs no more than its operator.
    let left_out: Vec<&str> = ["key", "value", "effect", "tolerationSeconds"].to_vec();
    for row in rows {
        let path = row[0].trim_matches('`');
        let known = left_out
            .iter()
            .any(|name| path == format!("collector.tolerations[].{name}"));
        assert!(
            known || order.0.contains_key(&format!("spec.{path}")),
            "the example lacks {path}"
        );
    }
    assert_eq!(crate::parse(EXAMPLE).map(|parsed| parsed.pipelines.len()), Ok(1));
}
