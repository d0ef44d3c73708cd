use super::*;
use crate::testing::*;

fn role() -> Role {
    role_of(&minimal(), &managed_roles())
}

fn role_of(pipeline: &TracingPipeline, settings: &ManagedRoles) -> Role {
    let account = aws_account();
    Role::new(pipeline, settings, &account, &issuer(), &traces_only()).unwrap()
}

/// The role as IAM has it when all is well.
fn well() -> Observed {
    let role = role();
    let made = Observed::after(&Write::Create, &role, None);
    Observed::after(&Write::Policy, &role, Some(made))
}

fn named(namespace: &str, name: &str) -> Role {
    let mut pipeline = minimal();
    pipeline.metadata.namespace = Some(namespace.to_owned());
    pipeline.metadata.name = Some(name.to_owned());
    role_of(&pipeline, &managed_roles())
}

#[test]
fn a_role_has_a_name_that_can_be_read_and_a_path_that_bounds_the_operator() {
    let role = role();
    assert_eq!(role.path, "/tracing-pipeline/prod-eu/");
    let hash = role
        .name
        .strip_prefix("tp-prod-eu-tracing-otel-collector-")
        .unwrap();
    assert_eq!(hash.len(), 10);
    assert!(hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_eq!(
        role.arn,
        format!(
            "arn:aws:iam::111122223333:role/tracing-pipeline/prod-eu/{}",
            role.name
        )
    );
    assert_eq!(name_in(&role.arn), role.name);
}

/// IAM's limit is 64, and a name may be of any letter that a cluster, a namespace and a pipeline can have.
#[test]
fn the_longest_name_is_short_enough() {
    let mut settings = managed_roles();
    settings.cluster = "Aa_-".repeat(25);
    let mut pipeline = minimal();
    pipeline.metadata.namespace = Some("n".repeat(63));
    pipeline.metadata.name = Some("p".repeat(52));
    let role = role_of(&pipeline, &settings);
    assert!(role.name.len() <= 64, "{}", role.name);
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    assert!(role.name.bytes().all(inner), "{}", role.name);
}

/// Names are unique in an account whatever the path, in upper and lower case alike.
#[test]
fn no_two_pipelines_paths_or_issuers_share_a_name() {
    let mut names: Vec<String> = vec![
        named("a", "b").name,
        named("a-b", "c").name,
        named("a", "b-c").name,
        named("aaaaaaaaaaaaaa1", "b").name,
        named("aaaaaaaaaaaaaa2", "b").name,
        named("a", "bbbbbbbbbbbbbbb1").name,
        named("a", "bbbbbbbbbbbbbbb2").name,
    ];
    let other_path = ManagedRoles {
        path_prefix: "/other/".to_owned(),
        ..managed_roles()
    };
    names.push(role().name);
    names.push(role_of(&minimal(), &other_path).name);
    let account = aws_account();
    let other_issuer = Issuer::parse("https://oidc.example/2").unwrap();
    let elsewhere = Role::new(
        &minimal(),
        &managed_roles(),
        &account,
        &other_issuer,
        &traces_only(),
    );
    names.push(elsewhere.unwrap().name);
    let mut unique: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), names.len(), "{names:?}");
}

#[test]
fn the_partition_is_the_accounts() {
    for partition in ["aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-eusc"] {
        let arn = format!("arn:{partition}:sts::111122223333:assumed-role/operator/pod");
        let account = crate::settings::AwsAccount::of_arn(&arn).unwrap();
        let role = Role::new(&minimal(), &managed_roles(), &account, &issuer(), &traces_only()).unwrap();
        assert!(
            role.arn
                .starts_with(&format!("arn:{partition}:iam::111122223333:role/"))
        );
        let principal = role.trust["Statement"][0]["Principal"]["Federated"]
            .as_str()
            .unwrap();
        assert!(principal.starts_with(&format!("arn:{partition}:iam::111122223333:oidc-provider/")));
    }
}

#[test]
fn a_role_that_is_not_there_is_made_whole_and_then_left_alone() {
    let role = role();
    let mut observed = None;
    let mut writes = Vec::new();
    while let Some(write) = role.next(observed.as_ref()).unwrap() {
        observed = Some(Observed::after(&write, &role, observed));
        writes.push(write);
    }
    assert_eq!(writes, [Write::Create, Write::Policy]);
}

#[test]
fn what_has_changed_is_put_back_with_one_write() {
    type Change = fn(&mut Observed);
    let boundary = managed_roles().boundary.unwrap();
    let cases: [(Change, Write); 6] = [
        (|role| drop(role.tags.remove(CLUSTER_TAG)), Write::Tag),
        (
            |role| drop(role.tags.insert(NAME_TAG.to_owned(), "x".to_owned())),
            Write::Tag,
        ),
        (|role| role.boundary = None, Write::Boundary(boundary)),
        (
            |role| role.trust["Statement"][0]["Condition"] = Value::Null,
            Write::Trust,
        ),
        (|role| role.policy = None, Write::Policy),
        (
            |role| role.policy.as_mut().unwrap()["Statement"][0]["Action"] = json!("*"),
            Write::Policy,
        ),
    ];
    let role = role();
    assert_eq!(role.next(Some(&well())), Ok(None));
    for (change, write) in cases {
        let mut observed = well();
        change(&mut observed);
        assert_eq!(role.next(Some(&observed)), Ok(Some(write.clone())));
        let mended = Observed::after(&write, &role, Some(observed));
        assert_eq!(role.next(Some(&mended)), Ok(None), "{write:?}");
    }
}

/// A tag or a policy of somebody else's is theirs.
#[test]
fn what_is_not_ours_is_not_taken_away() {
    let mut observed = well();
    observed.tags.insert("cost-centre".to_owned(), "7".to_owned());
    observed
        .foreign
        .push("arn:aws:iam::aws:policy/ReadOnlyAccess".to_owned());
    assert_eq!(role().next(Some(&observed)), Ok(None));
}

#[test]
fn a_boundary_that_nobody_asked_for_is_left() {
    let settings = ManagedRoles {
        boundary: None,
        ..managed_roles()
    };
    assert_eq!(role_of(&minimal(), &settings).next(Some(&well())), Ok(None));
}

#[test]
fn nothing_is_written_to_a_role_that_is_not_this_resources() {
    type Change = fn(&mut Observed);
    let cases: [Change; 5] = [
        |role| drop(role.tags.remove(UID_TAG)),
        |role| drop(role.tags.insert(UID_TAG.to_owned(), "another".to_owned())),
        |role| drop(role.tags.remove(MANAGED_BY_TAG)),
        |role| role.tags.clear(),
        |role| role.arn = role.arn.replace("/tracing-pipeline/prod-eu/", "/"),
    ];
    for change in cases {
        let mut observed = well();
        change(&mut observed);
        // Whatever else is wrong with it.
        observed.policy = None;
        let why = role().next(Some(&observed)).unwrap_err();
        assert!(why.contains("nothing was written"), "{why}");
        assert!(why.contains(&observed.arn), "{why}");
        assert!(claim(&observed, &role().arn, UID).is_err());
    }
    assert!(claim(&well(), &role().arn, "").is_err());
}

#[test]
fn documents_are_compared_by_what_they_say() {
    let ours = json!({"Version": "2012-10-17", "Statement": [
        {"Sid": "XRay", "Effect": "Allow", "Action": ["a", "b"], "Resource": "*"},
    ]});
    let same = json!({"Statement": {
        "Resource": ["*"], "Action": ["b", "a"], "Effect": "Allow", "Sid": "XRay",
    }, "Version": "2012-10-17"});
    assert!(is_same_document(&ours, &same));
    let changes: [(&str, Value); 5] = [
        ("/Statement/0/Action", json!(["a", "b", "c"])),
        ("/Statement/0/Action", json!("a")),
        ("/Statement/0/Effect", json!("Deny")),
        ("/Statement/0/Resource", json!("arn:aws:s3:::x")),
        ("/Version", json!("2008-10-17")),
    ];
    for (path, value) in changes {
        let mut other = ours.clone();
        *other.pointer_mut(path).unwrap() = value;
        assert!(!is_same_document(&ours, &other), "{path}");
    }
    assert!(!is_same_document(&ours, &Value::Null));
}
