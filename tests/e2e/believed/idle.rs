//! A kind of which nothing is written for long, where etcd announces its progress every ten minutes only.

use crate::settled::History;
use crate::support::{INFERENCE_SERVICE, Revisor, World};
use devcluster::Options;
use std::time::{Duration, Instant};
use tokio::time::sleep;

#[tokio::test(flavor = "multi_thread")]
async fn the_place_of_an_idle_kind_moves_though_etcd_seldom_says_how_far_it_is() {
    let own = World::start(&Options {
        announces: false,
        ..Options::minimal()
    });
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    let history = History::recorded(&own, "idle").await;
    let place = || {
        revisor.metric(
            "revisor_recorded_resource_version",
            "kind=\"LeaderWorkerSet\"",
        )
    };
    // The time of two watches, and of four: consistent reads move the API server's cache, and bookmarks tell.
    let half = Duration::from_secs(110);
    write_for(&history, half, 0).await;
    let before = place();
    let last = write_for(&history, half, 10_000).await;
    let after = place();
    assert!(after > before, "{before}, {after}:\n{}", revisor.log());
    own.wait_recorded(&revisor, INFERENCE_SERVICE, &last);
    revisor.assert_nothing_lost();
}

/// Other kinds are written meanwhile.
async fn write_for(history: &History, time: Duration, first: usize) -> crate::support::Meta {
    let began = Instant::now();
    let mut number = first;
    loop {
        let last = history.edit("w0", number..number + 10).await;
        if began.elapsed() > time {
            return last;
        }
        number += 10;
        sleep(Duration::from_secs(2)).await;
    }
}
