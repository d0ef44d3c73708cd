//! The fake IAM beside moto's, call for call: where moto checks, the two agree. moto is a fake as well, but others made it
//! and have put it beside AWS.

mod script;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tracepipe_e2e::clock;
use tracepipe_e2e::fake_iam::{Answer, Iam, Options};
use tracepipe_e2e::fake_xray::{Credentials, sigv4};
use tracepipe_e2e::process::Process;

use crate::rig::{KEY, LIMIT, named};
use script::{POLICIES, Step, documents_of_policies};

/// What moto says by default.
const ACCOUNT: &str = "123456789012";

/// Steps at which moto says something else, and why the fake is right all the same.
const DIFFERENT: [(&str, &str); 24] = [
    (
        "unknown action",
        "moto answers 500 to what it has not implemented",
    ),
    ("name of 65", "moto does not look at lengths of names"),
    (
        "name with a slash",
        "moto does not look at the characters of names",
    ),
    ("path without slashes", "moto takes every path"),
    ("path of 513", "moto takes every path"),
    ("description of 1001", "moto takes every description"),
    ("session of 59 minutes", "moto takes every duration"),
    ("no trust policy", "moto makes a role without one"),
    ("trust policy that is no JSON", "moto reads it at updates only"),
    ("trust policy of 2049", "moto has no quotas"),
    ("update to a trust policy of 2049", "moto has no quotas"),
    ("the same name in capitals", "moto tells names apart by case"),
    ("boundary that does not exist", "moto does not look for it"),
    (
        "another boundary that does not exist",
        "moto does not look for it",
    ),
    (
        "boundary that is no policy",
        "moto calls it InvalidParameterValue; no page of AWS has that code for IAM",
    ),
    ("51st tag", "moto looks at the tags of one request only"),
    (
        "tags after another case",
        "moto keeps both spellings; the User Guide has the later one replace the other",
    ),
    ("tag of AWS", "moto takes prefixes that are AWS's"),
    ("tags without a list", "moto takes it for an empty list"),
    ("inline policies of 10241", "moto has no quotas"),
    (
        "inline policy with a name of 129",
        "moto does not look at lengths of names",
    ),
    ("inline policy with a principal", "moto takes it"),
    ("11th attached policy", "moto has no quotas"),
    ("a part of a list", "moto tells all of it"),
];

/// What a role's XML says, of both alike. Whatever is not of the model is left out.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    texts: BTreeMap<&'static str, String>,
    documents: BTreeMap<&'static str, Value>,
    tags: BTreeMap<String, String>,
    members: BTreeSet<String>,
}

const TEXTS: [&str; 9] = [
    "Path",
    "RoleName",
    "Arn",
    "Description",
    "MaxSessionDuration",
    "PermissionsBoundaryArn",
    "PolicyName",
    "IsTruncated",
    "Marker",
];

impl Told {
    fn read(xml: &str) -> Self {
        let texts = TEXTS.map(|name| (name, text_of(xml, name).unwrap_or_default().to_owned()));
        let documents = ["AssumeRolePolicyDocument", "PolicyDocument"].map(|name| {
            let text = text_of(xml, name).map(decode).unwrap_or_default();
            (name, serde_json::from_str(&text).unwrap_or_default())
        });
        let tags = members(text_of(xml, "Tags")).filter_map(|tag| {
            let (key, value) = (text_of(tag, "Key")?, text_of(tag, "Value").unwrap_or_default());
            Some((key.to_owned(), value.to_owned()))
        });
        let names = members(text_of(xml, "PolicyNames"));
        let arns =
            members(text_of(xml, "AttachedPolicies")).filter_map(|policy| text_of(policy, "PolicyArn"));
        Self {
            texts: texts.into(),
            documents: documents.into(),
            tags: tags.collect(),
            members: names.chain(arns).map(str::to_owned).collect(),
        }
    }
}

fn text_of<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
}

fn members(list: Option<&str>) -> impl Iterator<Item = &str> {
    let parts = list.unwrap_or_default().split("<member>").skip(1);
    parts.filter_map(|part| part.split_once("</member>").map(|(member, _)| member))
}

fn encode(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

fn decode(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at(2);
        bytes.push(u8::from_str_radix(digits, 16).unwrap());
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).unwrap()
}

fn form(action: &str, fields: &[(String, String)]) -> String {
    let fields = fields
        .iter()
        .map(|(name, value)| format!("&{name}={}", encode(value)));
    format!("Action={action}&Version=2010-05-08{}", fields.collect::<String>())
}

/// Status and code, and what was told of a role when it went well.
fn outcome(status: u16, xml: &str) -> (String, Told) {
    let code = text_of(xml, "Code").unwrap_or_default();
    (format!("{status} {code}"), Told::read(xml))
}

async fn moto(python: &std::path::Path) -> (Process, String) {
    let args = ["-m", "moto.server", "-H", "127.0.0.1", "-p", "0"].map(str::to_owned);
    let env = BTreeMap::from([("PYTHONUNBUFFERED".to_owned(), "1".to_owned())]);
    let mut moto = Process::start(python, &args, &env).unwrap();
    let address = |line: &str| {
        let (_, url) = line.split_once("Running on ")?;
        Some(url.trim().to_owned())
    };
    let url = moto
        .wait_for_line("moto's address", LIMIT, address)
        .await
        .unwrap();
    (moto, url)
}

async fn ask_moto(url: &str, body: &str) -> (u16, String) {
    let request = Request::post(format!("{url}/"))
        .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
        .body(())
        .unwrap();
    let (mut parts, ()) = request.into_parts();
    let key = Credentials::new(KEY.0, KEY.1);
    let scope = ("us-east-1", "iam");
    sigv4::sign(&mut parts, body.as_bytes(), &key, scope, clock::wall()).unwrap();
    let client = Client::builder(TokioExecutor::new()).build_http();
    let request = Request::from_parts(parts, Full::new(Bytes::from(body.to_owned())));
    let response = client.request(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status.as_u16(), String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn motos_iam_and_ours_agree_wherever_moto_checks() {
    let Some(python) = named("TRACEPIPE_PYTHON", "moto's IAM beside ours") else {
        return;
    };
    let (mut moto, url) = moto(&python).await;
    let mut iam = Iam::new(Options {
        account: ACCOUNT.into(),
        partition: "aws".into(),
    });
    for (name, document) in POLICIES.into_iter().zip(documents_of_policies()) {
        iam.add_managed_policy(&format!("arn:aws:iam::{ACCOUNT}:policy/{name}"));
        let fields = [("PolicyName", name), ("PolicyDocument", &document)];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let (status, answer) = ask_moto(&url, &form("CreatePolicy", &fields)).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
    }

    let different: BTreeMap<&str, &str> = DIFFERENT.into();
    let mut met = BTreeSet::new();
    let mut wrong = Vec::new();
    let steps = script::steps();
    for Step { what, action, fields } in &steps {
        let body = form(action, fields);
        let (status, theirs) = ask_moto(&url, &body).await;
        let theirs = outcome(status, &theirs);
        let Answer { status, body } = iam.call(clock::wall(), body.as_bytes());
        let ours = outcome(status, &body);
        match (ours == theirs, different.get(what)) {
            (true, None) => {}
            (false, Some(_)) => {
                met.insert(*what);
            }
            (true, Some(why)) => wrong.push(format!("{what}: they agree by now; it was: {why}")),
            (false, None) => wrong.push(format!("{what}: {action}\n  moto: {theirs:?}\n  ours: {ours:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let unmet: Vec<&str> = different
        .keys()
        .filter(|what| !met.contains(*what))
        .copied()
        .collect();
    assert_eq!(unmet, [""; 0], "no step has this name");
    let names: BTreeSet<&str> = steps.iter().map(|step| step.what).collect();
    assert_eq!(names.len(), steps.len(), "two steps have one name");
    moto.terminate(LIMIT).await.unwrap();
}
