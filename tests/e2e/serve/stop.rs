//! What happens to requests when a process is told to end.

use super::people::People;
use crate::support::{Revisor, eventually, world};
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_under_way_gets_its_answer() {
    let world = world();
    let namespace = world.namespace("stop").await;
    let people = People::of(world, &namespace).await;
    let server = Revisor::start_secure(
        world.cluster.kubeconfig(),
        &["--plain-http", "--sdk-token-endpoint"],
    );
    let body = json!({"grantType": "app_token", "AppId": format!("{namespace}/reader"), "AppSecret": people.reader});
    let body = body.to_string();
    let mut stream = TcpStream::connect(("127.0.0.1", server.rest)).expect("connected");
    let timeout = Some(Duration::from_secs(10));
    stream.set_read_timeout(timeout).expect("set");
    let head = format!(
        "POST /api/v1/token HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let (first, rest) = body.split_at(20);
    stream.write_all((head + first).as_bytes()).expect("sent");
    let idle = TcpStream::connect(("127.0.0.1", server.rest)).expect("connected");
    std::thread::sleep(Duration::from_millis(300));
    let told = Instant::now();
    server.signal("TERM");
    // Long after everything is written; nobody else is let in.
    std::thread::sleep(Duration::from_secs(3));
    assert!(
        TcpStream::connect(("127.0.0.1", server.rest)).is_err(),
        "it still takes connections"
    );
    stream.write_all(rest.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.contains("accessToken"),
        "{answer}"
    );
    drop(idle);
    assert!(
        eventually(Duration::from_secs(15), || !server.is_alive()),
        "it does not end"
    );
    assert!(
        told.elapsed() < Duration::from_secs(14),
        "it ended after {:?}",
        told.elapsed()
    );
    assert!(
        server.log().contains("stopped; everything is written"),
        "{}",
        server.log()
    );
}
