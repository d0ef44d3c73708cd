use std::time::Duration;

use serde_json::json;

use super::testing::{
    BOUNDARY, OTHER_POLICY, at, call, create, form, iam, message, new_role, outcome, permissions, text_of,
    trust,
};
use super::{Call, Iam, Role};
use crate::fake_sts::Script;
use crate::query::percent_encode;

const NAME: (&str, &str) = ("RoleName", "collector");

fn role(iam: &Iam) -> Role {
    iam.role("collector").unwrap()
}

#[test]
fn a_new_role_is_what_was_asked_for() {
    let mut iam = iam();
    let tags = [
        ("Path", Some("/tracing/prod/")),
        ("Description", Some("<ours>")),
        ("MaxSessionDuration", Some("7200")),
        ("PermissionsBoundary", Some(BOUNDARY)),
        ("Tags.member.1.Key", Some("tracepipe.dev/uid")),
        ("Tags.member.1.Value", Some("1 = 2")),
        ("Tags.member.2.Key", Some("empty")),
        ("Tags.member.2.Value", Some("")),
    ];
    create(&mut iam, &tags);
    let made = role(&iam);
    let expected = Role {
        name: "collector".into(),
        path: "/tracing/prod/".into(),
        arn: "arn:aws:iam::111122223333:role/tracing/prod/collector".into(),
        id: made.id.clone(),
        description: "<ours>".into(),
        trust: trust(),
        boundary: Some(BOUNDARY.into()),
        tags: [("tracepipe.dev/uid", "1 = 2"), ("empty", "")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        inline: [].into(),
        attached: [].into(),
        max_session_seconds: 7200,
    };
    assert_eq!(made, expected);
    assert!(made.id.starts_with("AROA") && made.id.len() == 21, "{}", made.id);
    assert_eq!(iam.roles(), [made]);
}

#[test]
fn get_role_tells_all_of_it_as_iam_writes_it() {
    let mut iam = iam();
    create(
        &mut iam,
        &[
            ("PermissionsBoundary", Some(BOUNDARY)),
            ("Tags.member.1.Key", Some("team")),
            ("Tags.member.1.Value", Some("a")),
        ],
    );
    let xml = iam.call(at(5), &form("GetRole", &[NAME])).body;
    assert!(
        xml.starts_with(
            "<GetRoleResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><GetRoleResult><Role>"
        ),
        "{xml}"
    );
    let texts = [
        ("Path", "/"),
        ("RoleName", "collector"),
        ("Arn", "arn:aws:iam::111122223333:role/collector"),
        ("CreateDate", "2023-11-14T22:13:20Z"),
        ("AssumeRolePolicyDocument", &percent_encode(&trust().to_string())),
        ("MaxSessionDuration", "3600"),
        (
            "PermissionsBoundary",
            &format!(
                "<PermissionsBoundaryType>Policy</PermissionsBoundaryType>\
                 <PermissionsBoundaryArn>{BOUNDARY}</PermissionsBoundaryArn>"
            ),
        ),
        ("Tags", "<member><Key>team</Key><Value>a</Value></member>"),
    ];
    for (name, text) in texts {
        assert_eq!(text_of(&xml, name), text, "{name}");
    }
    assert!(!xml.contains("<Description>"), "{xml}");
    assert!(xml.contains("<ResponseMetadata><RequestId>"), "{xml}");
}

#[test]
fn an_error_is_told_as_iam_does() {
    let xml = iam().call(at(0), &form("GetRole", &[NAME])).body;
    assert!(
        xml.starts_with("<ErrorResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><Error>"),
        "{xml}"
    );
    assert_eq!(text_of(&xml, "Type"), "Sender");
    assert_eq!(
        text_of(&xml, "Message"),
        "The role with name collector cannot be found."
    );
}

#[test]
fn names_are_unique_whatever_the_case_and_the_path() {
    let mut iam = iam();
    create(&mut iam, &[]);
    for other in [("RoleName", Some("Collector")), ("Path", Some("/elsewhere/"))] {
        assert_eq!(
            outcome(&iam.call(at(0), &new_role(&[other]))),
            "409 EntityAlreadyExists"
        );
    }
    assert_eq!(call(&mut iam, "GetRole", &[("RoleName", "COLLECTOR")]), "200");
    assert_eq!(iam.roles().len(), 1);
}

#[test]
fn a_role_of_the_same_name_is_another_one() {
    let mut iam = iam();
    create(&mut iam, &[]);
    let first = role(&iam).id;
    assert_eq!(call(&mut iam, "DeleteRole", &[NAME]), "200");
    assert_eq!(iam.role("collector"), None);
    create(&mut iam, &[]);
    assert_ne!(role(&iam).id, first);
}

#[test]
fn inline_policies_come_and_go() {
    let mut iam = iam();
    create(&mut iam, &[]);
    let text = permissions().to_string();
    let policy = ("PolicyName", "write");
    let put = [NAME, policy, ("PolicyDocument", text.as_str())];
    assert_eq!(
        call(&mut iam, "GetRolePolicy", &[NAME, policy]),
        "404 NoSuchEntity"
    );
    assert_eq!(
        call(&mut iam, "DeleteRolePolicy", &[NAME, policy]),
        "404 NoSuchEntity"
    );
    assert_eq!(call(&mut iam, "PutRolePolicy", &put), "200");
    assert_eq!(role(&iam).inline["write"], permissions());
    let got = iam.call(at(0), &form("GetRolePolicy", &[NAME, policy])).body;
    assert_eq!(text_of(&got, "PolicyDocument"), percent_encode(&text));
    let listed = iam.call(at(0), &form("ListRolePolicies", &[NAME])).body;
    assert_eq!(text_of(&listed, "PolicyNames"), "<member>write</member>");
    assert_eq!(text_of(&listed, "IsTruncated"), "false");

    assert_eq!(call(&mut iam, "DeleteRole", &[NAME]), "409 DeleteConflict");
    assert_eq!(
        message(&mut iam, "DeleteRole", &[NAME]),
        "Cannot delete entity, must delete policies first."
    );
    assert_eq!(call(&mut iam, "DeleteRolePolicy", &[NAME, policy]), "200");
    assert_eq!(call(&mut iam, "DeleteRole", &[NAME]), "200");
}

#[test]
fn managed_policies_come_and_go() {
    let mut iam = iam();
    create(&mut iam, &[]);
    let policy = ("PolicyArn", OTHER_POLICY);
    assert_eq!(
        call(&mut iam, "DetachRolePolicy", &[NAME, policy]),
        "404 NoSuchEntity"
    );
    for _ in 0..2 {
        assert_eq!(call(&mut iam, "AttachRolePolicy", &[NAME, policy]), "200");
    }
    let listed = iam.call(at(0), &form("ListAttachedRolePolicies", &[NAME])).body;
    assert_eq!(
        text_of(&listed, "AttachedPolicies"),
        format!("<member><PolicyName>other</PolicyName><PolicyArn>{OTHER_POLICY}</PolicyArn></member>")
    );
    assert_eq!(call(&mut iam, "DeleteRole", &[NAME]), "409 DeleteConflict");
    assert_eq!(
        message(&mut iam, "DeleteRole", &[NAME]),
        "Cannot delete entity, must detach all policies first."
    );
    assert_eq!(call(&mut iam, "DetachRolePolicy", &[NAME, policy]), "200");
    assert_eq!(call(&mut iam, "DeleteRole", &[NAME]), "200");
}

#[test]
fn lists_come_in_parts() {
    let mut iam = iam();
    create(&mut iam, &[]);
    iam.change(at(0), "collector", |role| {
        role.inline = ["a", "b", "c"]
            .map(|name| (name.to_owned(), permissions()))
            .into();
    });
    let mut part = |fields: &[(&str, &str)]| {
        let fields = [&[NAME], fields].concat();
        let xml = iam.call(at(0), &form("ListRolePolicies", &fields)).body;
        let names = text_of(&xml, "PolicyNames")
            .replace("<member>", "")
            .replace("</member>", "");
        format!(
            "{names} {} {}",
            text_of(&xml, "IsTruncated"),
            text_of(&xml, "Marker")
        )
    };
    assert_eq!(part(&[("MaxItems", "2")]), "ab true b");
    assert_eq!(part(&[("MaxItems", "2"), ("Marker", "b")]), "c false ");
    assert_eq!(part(&[]), "abc false ");
}

#[test]
fn trust_boundary_and_tags_can_be_changed() {
    let mut iam = iam();
    create(&mut iam, &[]);
    let mut other = trust();
    other["Statement"][0]["Condition"]["StringEquals"] = json!({"issuer.test:sub": "b"});
    let text = other.to_string();
    let steps: [(&str, &[(&str, &str)]); 5] = [
        ("UpdateAssumeRolePolicy", &[("PolicyDocument", &text)]),
        ("PutRolePermissionsBoundary", &[("PermissionsBoundary", BOUNDARY)]),
        (
            "TagRole",
            &[
                ("Tags.member.1.Key", "Team"),
                ("Tags.member.1.Value", "a"),
                ("Tags.member.2.Key", "zone"),
                ("Tags.member.2.Value", "z"),
            ],
        ),
        // Of keys that differ in case alone there is one.
        (
            "TagRole",
            &[("Tags.member.1.Key", "team"), ("Tags.member.1.Value", "b")],
        ),
        (
            "UntagRole",
            &[("TagKeys.member.1", "ZONE"), ("TagKeys.member.2", "never")],
        ),
    ];
    for (action, fields) in steps {
        assert_eq!(
            call(&mut iam, action, &[&[NAME], fields].concat()),
            "200",
            "{action}"
        );
    }
    let changed = role(&iam);
    assert_eq!(changed.trust, other);
    assert_eq!(changed.boundary.as_deref(), Some(BOUNDARY));
    assert_eq!(changed.tags, [("team".to_owned(), "b".to_owned())].into());
    assert_eq!(call(&mut iam, "DeleteRolePermissionsBoundary", &[NAME]), "200");
    assert_eq!(role(&iam).boundary, None);
}

#[test]
fn without_the_role_every_action_says_so() {
    let (trust, policy) = (trust().to_string(), permissions().to_string());
    let actions: [(&str, &[(&str, &str)]); 14] = [
        ("GetRole", &[]),
        ("DeleteRole", &[]),
        ("TagRole", &[("Tags", "")]),
        ("UntagRole", &[("TagKeys", "")]),
        ("UpdateAssumeRolePolicy", &[("PolicyDocument", &trust)]),
        (
            "PutRolePolicy",
            &[("PolicyName", "a"), ("PolicyDocument", &policy)],
        ),
        ("GetRolePolicy", &[("PolicyName", "a")]),
        ("DeleteRolePolicy", &[("PolicyName", "a")]),
        ("ListRolePolicies", &[]),
        ("ListAttachedRolePolicies", &[]),
        ("PutRolePermissionsBoundary", &[("PermissionsBoundary", BOUNDARY)]),
        ("DeleteRolePermissionsBoundary", &[]),
        ("AttachRolePolicy", &[("PolicyArn", OTHER_POLICY)]),
        ("DetachRolePolicy", &[("PolicyArn", OTHER_POLICY)]),
    ];
    let mut iam = iam();
    for (action, fields) in actions {
        let fields = [&[NAME], fields].concat();
        assert_eq!(call(&mut iam, action, &fields), "404 NoSuchEntity", "{action}");
    }
}

#[test]
fn reads_see_what_was_true_a_while_ago_and_writes_what_is_true() {
    let mut iam = iam();
    iam.set_read_lag(Duration::from_secs(10));
    let arn = "arn:aws:iam::111122223333:role/collector";
    create(&mut iam, &[]);
    let get = form("GetRole", &[NAME]);
    assert_eq!(outcome(&iam.call(at(9), &get)), "404 NoSuchEntity");
    assert_eq!(iam.visible_trust(at(9), arn), None);
    assert!(iam.role("collector").is_some());
    assert_eq!(
        outcome(&iam.call(at(9), &new_role(&[]))),
        "409 EntityAlreadyExists"
    );
    assert_eq!(outcome(&iam.call(at(10), &get)), "200");
    assert_eq!(iam.visible_trust(at(10), arn), Some(trust()));

    let text = permissions().to_string();
    let put = form(
        "PutRolePolicy",
        &[NAME, ("PolicyName", "write"), ("PolicyDocument", &text)],
    );
    assert_eq!(outcome(&iam.call(at(20), &put)), "200");
    let delete = form("DeleteRole", &[NAME]);
    assert_eq!(outcome(&iam.call(at(20), &delete)), "409 DeleteConflict");
    let policy = form("GetRolePolicy", &[NAME, ("PolicyName", "write")]);
    assert_eq!(outcome(&iam.call(at(29), &policy)), "404 NoSuchEntity");
    assert_eq!(outcome(&iam.call(at(30), &policy)), "200");

    iam.remove(at(40), "collector");
    assert_eq!(outcome(&iam.call(at(49), &get)), "200");
    assert_eq!(outcome(&iam.call(at(49), &delete)), "404 NoSuchEntity");
    assert_eq!(outcome(&iam.call(at(50), &get)), "404 NoSuchEntity");
    assert_eq!(iam.visible_trust(at(50), arn), None);
    iam.set_read_lag(Duration::from_secs(11));
    assert_eq!(outcome(&iam.call(at(50), &get)), "200");
}

#[test]
fn sts_sees_a_role_under_its_very_arn() {
    let mut iam = iam();
    create(&mut iam, &[("Path", Some("/tracing/"))]);
    let sees = |resource: &str| {
        let arn = format!("arn:aws:iam::111122223333:role/{resource}");
        iam.visible_trust(at(0), &arn).is_some()
    };
    assert!(sees("tracing/collector"));
    for other in ["collector", "tracing/Collector", "other/collector"] {
        assert!(!sees(other), "{other}");
    }
}

#[test]
fn somebody_else_changes_makes_and_removes_roles() {
    let mut iam = iam();
    create(&mut iam, &[]);
    iam.deny(&["iam:TagRole"]);
    iam.change(at(1), "Collector", |role| role.description = "changed".into());
    iam.change(at(1), "nobody", |role| role.description = "changed".into());
    assert_eq!(role(&iam).description, "changed");
    assert_eq!(iam.role("nobody"), None);
    let theirs = Role {
        path: "/theirs/".into(),
        ..role(&iam)
    };
    iam.put(at(2), theirs.clone());
    assert_eq!(iam.roles(), [theirs]);
    let xml = iam.call(at(2), &form("GetRole", &[NAME])).body;
    assert_eq!(text_of(&xml, "CreateDate"), "2023-11-14T22:13:20Z");
    iam.remove(at(3), "COLLECTOR");
    assert_eq!(iam.roles(), []);
}

#[test]
fn every_call_is_remembered_with_the_owner_of_its_role() {
    let mut iam = iam();
    let uid = [
        ("Tags.member.1.Key", Some("tracepipe.dev/uid")),
        ("Tags.member.1.Value", Some("uid-1")),
    ];
    create(&mut iam, &uid);
    iam.deny(&["iam:DeleteRole"]);
    call(&mut iam, "DeleteRole", &[NAME]);
    iam.change(at(0), "collector", |role| role.tags.clear());
    call(&mut iam, "GetRole", &[NAME]);
    call(&mut iam, "ListRoles", &[]);
    iam.call(at(0), b"%");
    let entry = |action: &str, role: Option<&str>, write, result: &str, uid: Option<&str>| Call {
        action: action.into(),
        role: role.map(str::to_owned),
        write,
        result: result.into(),
        uid_tag: uid.map(str::to_owned),
    };
    let name = Some("collector");
    assert_eq!(
        iam.calls(),
        [
            entry("CreateRole", name, true, "OK", Some("uid-1")),
            entry("DeleteRole", name, true, "AccessDenied", Some("uid-1")),
            entry("GetRole", name, false, "OK", None),
            entry("ListRoles", None, false, "InvalidAction", None),
            entry("", None, false, "InvalidAction", None),
        ]
    );
}

#[test]
fn it_fails_as_it_is_told() {
    let mut iam = iam();
    iam.set_script(Some(Script {
        calls: Some(1),
        status: 503,
        code: "ServiceUnavailable".into(),
    }));
    let answer = iam.call(at(0), &new_role(&[]));
    assert_eq!(outcome(&answer), "503 ServiceUnavailable");
    assert_eq!(text_of(&answer.body, "Type"), "Receiver");
    assert_eq!(iam.role("collector"), None);
    create(&mut iam, &[]);
}
