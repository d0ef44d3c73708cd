use std::net::Ipv4Addr;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tracepipe_crds::conditions::types;

use super::*;
use crate::testing::world::{PIPELINE, World};

const IP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

fn answer(failing: Value) -> Option<Value> {
    Some(json!({"exporters": [{"id": "awsxray", "failing": failing, "lost": {}}]}))
}

fn denied(minutes: u64) -> Option<Value> {
    answer(json!({"reason": "access_denied", "code": "AccessDeniedException", "seconds": minutes * 60}))
}

/// A pipeline whose collector answers.
fn world() -> World {
    let world = World::new(&json!({}));
    *world.pod_ip.lock().unwrap() = Some(IP);
    world.collectors.say(IP, answer(Value::Null));
    world
}

async fn minutes(
    world: &World,
    operator: crate::reconcile::Context,
    count: u32,
) -> crate::reconcile::Context {
    world.live(operator, Duration::from_secs(60) * count).await
}

fn status_writes(world: &World) -> usize {
    let status = format!("PATCH {PIPELINE}/status");
    let writes = world.api.writes();
    writes.iter().filter(|write| **write == status).count()
}

#[tokio::test(start_paused = true)]
async fn a_denied_backend_makes_exporting_false_until_it_is_repaired_and_leaves_ready_alone() {
    let world = world();
    let operator = minutes(&world, world.operator(), 5).await;
    assert_eq!(world.says(types::EXPORTING), "True/Exporting");
    assert_eq!(world.says(types::READY), "True/Ready");
    world.api.events();
    world.api.writes();
    world.collectors.say(IP, denied(3));
    let operator = minutes(&world, operator, 2).await;
    assert_eq!(world.says(types::EXPORTING), "False/AccessDenied");
    assert!(world.message(types::EXPORTING).contains("AccessDeniedException"));
    assert_eq!(world.says(types::READY), "True/Ready");
    assert_eq!(world.says(types::STALLED), "-");
    assert_eq!(world.api.events(), ["AccessDenied"]);
    assert_eq!(status_writes(&world), 1);
    let mut operator = operator;
    for age in 5..60 {
        world.collectors.say(IP, denied(age));
        operator = minutes(&world, operator, 1).await;
    }
    assert_eq!(status_writes(&world), 0);
    world.collectors.say(IP, answer(Value::Null));
    minutes(&world, operator, 2).await;
    assert_eq!(world.says(types::EXPORTING), "True/Exporting");
    assert_eq!(world.api.events(), ["Exporting"]);
    assert_eq!(status_writes(&world), 1);
}

#[tokio::test(start_paused = true)]
async fn at_rest_a_collector_is_asked_once_a_minute_and_nothing_is_written() {
    let world = world();
    let operator = minutes(&world, world.operator(), 10).await;
    assert_eq!(world.says(types::EXPORTING), "True/Exporting");
    world.api.writes();
    let asked = world.collectors.asked();
    let operator = minutes(&world, operator, 60).await;
    assert!((58..=62).contains(&(world.collectors.asked() - asked)));
    let writes: Vec<String> = world.api.writes();
    assert!(writes.iter().all(|write| write.ends_with("/token")), "{writes:?}");
    // Nor by an operator that knows nothing yet.
    drop(operator);
    minutes(&world, world.operator(), 10).await;
    assert_eq!(status_writes(&world), 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_said_stands_under_a_new_operator_until_it_has_asked() {
    let world = world();
    let operator = minutes(&world, world.operator(), 5).await;
    world.collectors.say(IP, denied(10));
    drop(minutes(&world, operator, 2).await);
    world.collectors.say(IP, denied(12));
    world.api.events();
    minutes(&world, world.operator(), 5).await;
    assert_eq!(world.says(types::EXPORTING), "False/AccessDenied");
    assert_eq!(world.api.events(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn collectors_behind_a_network_policy_make_it_unknown() {
    let world = world();
    world.collectors.say(IP, None);
    let operator = minutes(&world, world.operator(), 5).await;
    assert_eq!(world.says(types::EXPORTING), "Unknown/CollectorsUnreachable");
    assert_eq!(world.says(types::READY), "True/Ready");
    assert!(world.api.events().contains(&"CollectorsUnreachable".to_owned()));
    world.collectors.say(IP, answer(Value::Null));
    minutes(&world, operator, 2).await;
    assert_eq!(world.says(types::EXPORTING), "True/Exporting");
}

#[tokio::test(start_paused = true)]
async fn pods_without_an_address_are_not_asked() {
    let world = world();
    *world.pod_ip.lock().unwrap() = None;
    minutes(&world, world.operator(), 20).await;
    assert_eq!(world.says(types::EXPORTING), "Unknown/NotAsked");
    assert_eq!(world.collectors.asked(), 0);
}

/// Answers one connection with these bytes; then keeps it open.
async fn server(bytes: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 1024];
        let read = stream.read(&mut request).await.unwrap();
        let request = String::from_utf8_lossy(&request[..read]).into_owned();
        assert!(request.starts_with("GET /exporters HTTP/1.1\r\n"), "{request}");
        stream.write_all(bytes).await.unwrap();
        std::future::pending::<()>().await;
    });
    at
}

#[tokio::test]
async fn answers_over_http_are_read_and_others_are_none() {
    let good =
        server(b"HTTP/1.1 200 OK\r\ncontent-length: 16\r\nconnection: close\r\n\r\n{\"exporters\":[]}").await;
    let body = exchange(good).await.unwrap();
    assert_eq!(read(&body), Ok(Vec::new()));
    let endless: &[u8] = [&b"HTTP/1.1 200 OK\r\n\r\n"[..], &[b' '; 70_000]].concat().leak();
    for (bytes, wanted) in [
        (&b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"[..], Unasked::OddAnswer),
        (b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", Unasked::OddAnswer),
        (b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", Unasked::NoAnswer),
        (endless, Unasked::OddAnswer),
        (b"SSH-2.0-OpenSSH_9.6\r\n", Unasked::NoAnswer),
    ] {
        let said = String::from_utf8_lossy(&bytes[..20]).into_owned();
        let answer = tokio::time::timeout(ANSWER_LIMIT, exchange(server(bytes).await)).await;
        assert_eq!(answer.expect(&said), Err(wanted), "{said}");
    }
    let nobody = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    assert_eq!(exchange(nobody).await, Err(Unasked::NoAnswer));
}
