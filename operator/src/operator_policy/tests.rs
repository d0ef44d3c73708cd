use super::*;
use crate::testing::*;

fn settings(boundary: bool) -> ManagedRoles {
    let mut settings = managed_roles();
    if !boundary {
        settings.boundary = None;
    }
    settings
}

fn policy(boundary: bool) -> Value {
    document("aws", &aws_account().id, &settings(boundary))
}

#[test]
fn the_policies_are_those_that_are_printed() {
    golden("rendered/operator.iam.json", &format!("{:#}\n", policy(true)));
    golden(
        "rendered/operator-unbounded.iam.json",
        &format!("{:#}\n", policy(false)),
    );
    let none = boundary(&aws_account(), &Workspaces::default());
    golden("rendered/boundary.iam.json", &format!("{none:#}\n"));
    let some = boundary(&aws_account(), &all_settings().amp.workspaces);
    golden("rendered/boundary-amp.iam.json", &format!("{some:#}\n"));
}

/// `reliability.md` names those that controllers of roles were broken into by.
#[test]
fn it_has_no_wildcard_beyond_its_path_and_none_of_the_actions_that_escalate() {
    for statement in policy(true)["Statement"].as_array().unwrap() {
        let resource = statement["Resource"].as_str().unwrap();
        if statement["Sid"] == "FindRoles" {
            assert_eq!(resource, "arn:aws:iam::111122223333:role/tp-prod-eu-*");
            assert_eq!(statement["Action"], json!(["iam:GetRole"]));
            continue;
        }
        assert_eq!(
            resource,
            "arn:aws:iam::111122223333:role/tracing-pipeline/prod-eu/*"
        );
        for action in statement["Action"].as_array().unwrap() {
            let action = action.as_str().unwrap();
            assert!(action.starts_with("iam:") && !action.contains('*'), "{action}");
            let verbs = [
                "PassRole",
                "Attach",
                "CreatePolicy",
                "DeleteRolePermissionsBoundary",
                "UpdateRole",
            ];
            assert!(
                !verbs.iter().any(|verb| action["iam:".len()..].starts_with(verb)),
                "{action}"
            );
        }
    }
}

#[test]
fn the_boundary_allows_what_a_role_is_given_and_nothing_else() {
    let given = |workspaces: &[&str]| {
        iam::document(&iam::statements(&Rights {
            xray: true,
            workspaces: workspaces.iter().map(|&arn| arn.to_owned()).collect(),
        }))
    };
    let allowed = |workspaces: &Workspaces| boundary(&aws_account(), workspaces);
    assert_eq!(allowed(&Workspaces::default()), given(&[]));
    assert_eq!(allowed(&all_settings().amp.workspaces), given(&[WORKSPACE]));
    let any = "arn:aws:aps:*:111122223333:workspace/*";
    assert_eq!(allowed(&Workspaces::Any), given(&[any]));
}
