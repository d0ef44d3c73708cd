use super::*;

#[test]
fn each_answer_has_its_reason_and_names_the_call() {
    let cases: [(&str, &str, &str, Kind); 14] = [
        (
            "iam:CreateRole",
            "AccessDenied",
            reasons::ACCESS_DENIED,
            Kind::Standing,
        ),
        (
            "iam:GetRole",
            "InvalidClientTokenId",
            reasons::NO_CREDENTIALS,
            Kind::Standing,
        ),
        (
            "iam:GetRole",
            "ExpiredToken",
            reasons::NO_CREDENTIALS,
            Kind::Standing,
        ),
        ("iam:GetRole", "Throttling", reasons::THROTTLED, Kind::Passing),
        (
            "iam:CreateRole",
            "NoSuchEntity",
            reasons::BOUNDARY_MISSING,
            Kind::Standing,
        ),
        (
            "iam:PutRolePolicy",
            "NoSuchEntity",
            reasons::VERIFYING,
            Kind::Passing,
        ),
        (
            "iam:CreateRole",
            "LimitExceeded",
            reasons::LIMIT_EXCEEDED,
            Kind::Standing,
        ),
        (
            "iam:CreateRole",
            "EntityAlreadyExists",
            reasons::VERIFYING,
            Kind::Passing,
        ),
        (
            "iam:TagRole",
            "ConcurrentModification",
            reasons::VERIFYING,
            Kind::Passing,
        ),
        (
            "iam:DeleteRole",
            "DeleteConflict",
            reasons::DELETE_CONFLICT,
            Kind::Standing,
        ),
        (
            "iam:CreateRole",
            "ServiceFailure",
            reasons::AWS_UNREACHABLE,
            Kind::Passing,
        ),
        (
            "iam:CreateRole",
            "no code",
            reasons::AWS_UNREACHABLE,
            Kind::Passing,
        ),
        (
            "iam:CreateRole",
            "MalformedPolicyDocument",
            reasons::ROLE_FAILED,
            Kind::Standing,
        ),
        (
            "iam:CreateRole",
            "SomethingNew",
            reasons::ROLE_FAILED,
            Kind::Standing,
        ),
    ];
    for (action, code, reason, kind) in cases {
        let trouble = of_answer(action, "arn:x", code, "the words of AWS");
        assert_eq!((trouble.reason, trouble.kind), (reason, kind), "{action} {code}");
        for part in [action, "arn:x", code, "the words of AWS"] {
            assert!(trouble.message.contains(part), "{}", trouble.message);
        }
    }
}

#[test]
fn only_what_may_have_been_done_counts_as_perhaps_done() {
    let done = |code| of_answer("iam:CreateRole", "x", code, "").perhaps_done;
    assert!(done("ServiceFailure") && done("InternalFailure"));
    assert!(!done("AccessDenied") && !done("Throttling") && !done("LimitExceeded"));
    assert!(of_silence("iam:CreateRole", "x", &std::io::Error::other("reset")).perhaps_done);
    let none = CredentialsError::not_loaded("no providers in chain");
    let trouble = of_silence("iam:CreateRole", "x", &none);
    assert!(!trouble.perhaps_done);
    assert_eq!(
        (trouble.reason, trouble.kind),
        (reasons::NO_CREDENTIALS, Kind::Standing)
    );
}

#[test]
fn a_refusal_of_sts_says_what_to_do() {
    let reason = |code, message| match of_assume("arn:x", Some(code), message) {
        Some(Assumed::Denied(reason, words)) => {
            assert!(words.contains("arn:x") && words.contains(code), "{words}");
            Some(reason)
        }
        _ => None,
    };
    let no_provider = "No OpenIDConnect provider found in your account for https://x";
    assert_eq!(
        reason("InvalidIdentityToken", no_provider),
        Some(reasons::PROVIDER_NOT_FOUND)
    );
    assert_eq!(
        reason("InvalidIdentityToken", "Incorrect token audience"),
        Some(reasons::AUDIENCE_MISSING)
    );
    for code in [
        "AccessDenied",
        "ExpiredTokenException",
        "IDPRejectedClaim",
        "RegionDisabledException",
    ] {
        assert_eq!(reason(code, ""), Some(reasons::ASSUME_ROLE_DENIED), "{code}");
    }
    // What decides nothing.
    for code in ["Throttling", "IDPCommunicationError", "InternalFailure"] {
        assert_eq!(reason(code, ""), None, "{code}");
    }
    assert_eq!(of_assume("arn:x", None, ""), None);
}
