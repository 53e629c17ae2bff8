//! What was measured of reading, as tables with their targets.

use super::{EACH, Row};
use crate::load;

/// Answers a second, against the bare handler.
const BARE: f64 = 0.7;
const TIMES_API_SERVER: f64 = 50.0;
/// From start to ready, against a bare list.
const START: f64 = 1.3;
/// Answers a second with most Revisions, against those with fewest, each as a part of what the bare handler gave.
const STEADY: f64 = 0.9;
/// At the start Revisor may take so many times the memory that it takes afterwards, and so many MiB.
const PEAK: (f64, f64) = (2.0, 64.0);
/// Memory of a Revision may be so many times its JSON, and so many bytes.
const MEMORY: (f64, f64) = (1.5, 256.0);

/// Prints; `met` becomes false when a target is missed.
pub(super) fn print(rows: &[Row], met: &mut bool) {
    print_answers(rows, met);
    print_api_server(rows, met);
    print_starts(rows, met);
}

fn print_answers(rows: &[Row], met: &mut bool) {
    println!(
        "\n| answers a second, {EACH} revisions in a list | Revisor | bare handler, same size | ratio (target ≥ {BARE}) | p99 |\n|---|---|---|---|---|"
    );
    for row in rows {
        for (name, side) in [("list", &row.list), ("get", &row.get)] {
            *met &= side.ratio >= BARE;
            let p99 = side.p99.as_secs_f64() * 1e3;
            println!(
                "| {name}, {} cached | {:.0} | {:.0} | **{:.2}** | {p99:.1} ms |",
                row.size, side.ours, side.bare, side.ratio
            );
        }
    }
    if let [first, .., last] = rows {
        for (name, few, many) in [
            ("list", &first.list, &last.list),
            ("get", &first.get, &last.get),
        ] {
            let plain = many.ours / few.ours;
            let steady = many.ratio / few.ratio;
            *met &= steady >= STEADY;
            println!(
                "\n{name} with {} against {}, measured by the bare handler of each: **{steady:.2}** (target ≥ {STEADY}); {plain:.2} as it is",
                last.size, first.size
            );
        }
    }
}

fn print_api_server(rows: &[Row], met: &mut bool) {
    println!(
        "\n| lists a second over TLS, the same client and {} connections for both | Revisor | API server, by label | times that (target ≥ {TIMES_API_SERVER} at 10000) |\n|---|---|---|---|",
        load::CONNECTIONS
    );
    for row in rows {
        let (ours, theirs) = row.tls;
        let times = ours / theirs;
        *met &= row.size > 10_000 || times >= TIMES_API_SERVER;
        println!(
            "| {} cached | {ours:.0} | {theirs:.0} | **{times:.0}** |",
            row.size
        );
    }
}

fn print_starts(rows: &[Row], met: &mut bool) {
    println!(
        "\n| Revisions | starts (n) | start to ready | bare paged LIST | ratio (target ≤ {START}) | bytes each | its JSON | at most {} × JSON + {} | memory in MiB: in the end, at most (target ≤ {} × that + {}) |\n|---|---|---|---|---|---|---|---|---|",
        MEMORY.0, MEMORY.1, PEAK.0, PEAK.1
    );
    for row in rows {
        let ratio = row.start_ratio();
        let memory = row.median(|start| start.memory);
        let most = MEMORY.0 * row.json + MEMORY.1;
        // At few the start itself is most of it.
        *met &= row.size < 100_000 || (ratio <= START && memory <= most);
        *met &= row
            .starts
            .iter()
            .all(|start| start.peak <= PEAK.0 * start.resident + PEAK.1);
        let ready = row.median(|start| start.ready);
        let bare = row.median(|start| start.bare_list);
        let resident = row.median(|start| start.resident);
        let peak = row.median(|start| start.peak);
        println!(
            "| {} | {} | {ready:.1} s | {bare:.1} s | **{ratio:.2}** | **{memory:.0}** | {:.0} | {most:.0} | {resident:.0}, **{peak:.0}** |",
            row.size,
            row.starts.len(),
            row.json
        );
    }
}
