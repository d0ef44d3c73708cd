use serde_json::json;

use super::*;
use crate::testing::*;
use crate::validate::validate;

const ISSUER: &str = "https://oidc.eks.eu-west-1.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF";

fn surroundings() -> Surroundings {
    Surroundings {
        issuer: Some(Issuer::parse(ISSUER).unwrap()),
        account: Some(Account::parse("111122223333").unwrap()),
    }
}

fn role_of(pipeline: &TracingPipeline, surroundings: &Surroundings) -> Result<Value, String> {
    let accepted = validate(pipeline, &all_settings(), &facts_of_aws()).map_err(|refusal| refusal.message)?;
    role(pipeline, &accepted, surroundings)
}

fn with_identity(identity: Value) -> TracingPipeline {
    with_spec(json!({ "clusterName": "prod", "identity": identity }))
}

fn conditions(role: &Value) -> &Value {
    &role["AssumeRolePolicyDocument"]["Statement"][0]["Condition"]["StringEquals"]
}

#[test]
fn the_policies_are_those_of_the_seed_to_the_byte() {
    let pipelines = [
        ("irsa", minimal()),
        ("pod-identity", pipeline_of("pod-identity")),
        ("managed", pipeline_of("managed")),
        ("amp", pipeline_of("amp")),
    ];
    for (case, pipeline) in pipelines {
        let role = role_of(&pipeline, &surroundings()).unwrap();
        let text = serde_json::to_string_pretty(&role).unwrap();
        golden(&format!("rendered/{case}.iam.json"), &format!("{text}\n"));
    }
}

#[test]
fn the_provider_is_of_the_partition_and_the_account_of_the_role() {
    for partition in ["aws", "aws-cn", "aws-us-gov", "aws-iso-b", "aws-eusc"] {
        let arn = format!("arn:{partition}:iam::444455556666:role/a/path/name");
        let pipeline = with_identity(json!({ "roleArn": arn }));
        let role = role_of(&pipeline, &surroundings()).unwrap();
        let principal = &role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["Federated"];
        let provider = format!(
            "arn:{partition}:iam::444455556666:oidc-provider/{}",
            ISSUER.trim_start_matches("https://")
        );
        assert_eq!(principal, &json!(provider));
    }
}

#[test]
fn who_uses_what_is_there_gets_no_trust_policy() {
    let pipeline = with_identity(json!({ "type": "Ambient", "roleArn": null }));
    let role = role_of(&pipeline, &Surroundings::default()).unwrap();
    assert_eq!(
        role,
        json!({ "PolicyDocument": document(&statements(&traces_only())) })
    );
}

#[test]
fn what_is_missing_is_named_with_the_way_to_get_it() {
    let nothing = Surroundings::default();
    let error = role_of(&minimal(), &nothing).unwrap_err();
    assert!(
        error.starts_with("--issuer is needed: aws eks describe-cluster "),
        "{error}"
    );
    let error = role_of(&pipeline_of("pod-identity"), &nothing).unwrap_err();
    assert!(
        error.starts_with("--account is needed: aws sts get-caller-identity "),
        "{error}"
    );
}

#[test]
fn an_issuer_is_named_as_iam_names_its_provider() {
    let named = [
        (
            ISSUER,
            "oidc.eks.eu-west-1.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF",
        ),
        (
            "https://oidc.eks.cn-north-1.amazonaws.com.cn:443/id/AB/",
            "oidc.eks.cn-north-1.amazonaws.com.cn/id/AB",
        ),
        ("https://kubernetes.default.svc", "kubernetes.default.svc"),
    ];
    for (url, name) in named {
        assert_eq!(Issuer::parse(url), Ok(Issuer(name.to_owned())), "{url}");
    }
}

#[test]
fn nothing_but_plain_names_gets_into_a_document() {
    let issuers = [
        "",
        "https://",
        "https:///id",
        "http://issuer.example",
        "issuer.example",
        "https://*.example/id",
        "https://issuer.example/${aws:username}",
        "https://issuer.example/id?a=b",
        "https://issuer.example/id\"",
        "https://issuer.example:6443/id",
        "https://user@issuer.example",
        "https://issuer.example/id\n",
        "https://iss\u{fc}er.example",
    ];
    for issuer in issuers {
        let error = Issuer::parse(issuer).unwrap_err();
        assert!(error.contains("https://oidc.eks."), "{issuer}: {error}");
    }
    for account in [
        "",
        "*",
        "11112222333",
        "1111222233334",
        "11112222333*",
        "\u{661}11122223333",
    ] {
        assert!(Account::parse(account).is_err(), "{account}");
    }
    let too_long = "n".repeat(64);
    for namespace in [
        "",
        "*",
        "a b",
        "Tracing",
        "a*",
        "${a}",
        "-a",
        "a-",
        "a\"",
        "a\n",
        too_long.as_str(),
    ] {
        let mut pipeline = minimal();
        pipeline.metadata.namespace = Some(namespace.to_owned()).filter(|name| !name.is_empty());
        let error = role_of(&pipeline, &surroundings()).unwrap_err();
        assert!(error.starts_with("metadata.namespace: "), "{namespace}: {error}");
    }
    let mut pipeline = minimal();
    pipeline.metadata.namespace = Some("n".repeat(63));
    let role = role_of(&pipeline, &surroundings()).unwrap();
    assert!(conditions(&role).to_string().contains(&"n".repeat(63)), "{role}");
}
