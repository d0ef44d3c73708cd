use super::*;

fn namespaces(names: &[&str]) -> Result<Scope, String> {
    Ok(Scope::Namespaces(
        names.iter().map(|name| (*name).to_owned()).collect(),
    ))
}

#[test]
fn namespaces_are_names_with_commas_between() {
    assert_eq!(Scope::parse("tracing"), namespaces(&["tracing"]));
    assert_eq!(Scope::parse(" b , a-1 "), namespaces(&["a-1", "b"]));
    assert_eq!(Scope::parse("*"), Ok(Scope::Cluster));
}

/// Two controllers of one namespace would work against each other.
#[test]
fn a_namespace_that_is_named_twice_is_looked_after_once() {
    assert_eq!(Scope::parse("a,b,a"), namespaces(&["a", "b"]));
    assert_eq!(Scope::parse("*,*"), Ok(Scope::Cluster));
}

#[test]
fn what_is_no_namespace_is_refused() {
    let long = "a".repeat(64);
    for text in [
        "",
        ",",
        "a,",
        "A",
        "a_b",
        "a.b",
        "a/b",
        "a b",
        "\u{e4}",
        long.as_str(),
    ] {
        let refused = Scope::parse(text);
        assert!(
            refused
                .as_ref()
                .is_err_and(|why| why.contains("is not the name of a namespace")),
            "{text}: {refused:?}"
        );
    }
    assert!(Scope::parse("*,a").is_err_and(|why| why.contains("stands alone")));
}

#[test]
fn same_node_is_preferred_from_1_34_on() {
    // EKS puts a `+` behind its minor versions.
    for (major, minor) in [
        ("1", "34"),
        ("1", "34+"),
        ("1", "35"),
        ("1", "100"),
        ("2", "0"),
        ("1", "34.4"),
    ] {
        assert!(knows_prefer_same_node(major, minor), "{major}.{minor}");
    }
    for (major, minor) in [
        ("1", "33"),
        ("1", "33+"),
        ("1", "9"),
        ("0", "99"),
        ("", ""),
        ("1", ""),
        ("1", "x"),
    ] {
        assert!(!knows_prefer_same_node(major, minor), "{major}.{minor}");
    }
}

#[test]
fn the_family_of_the_cluster_is_that_of_its_api_server() {
    for host in ["fd00:10:96::1", "2001:db8::1"] {
        assert!(is_ipv6(Some(host)), "{host}");
    }
    for host in [None, Some(""), Some("10.96.0.1"), Some("kubernetes.default.svc")] {
        assert!(!is_ipv6(host), "{host:?}");
    }
}
