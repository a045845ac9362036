//! The formats as their own readers see them. A test whose reader is not installed is skipped.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use quell::profile::{Selection, build};
use quell::recording::Hashes;
use quell::recording::example::Example;
use quell::{recording, report};
use quell_tests::needs::Need;
use quell_tests::{needs, small};
use tempfile::TempDir;

/// The committed recording, drawn into a file of a fresh directory.
fn draw(format: &str, file: &str) -> (TempDir, PathBuf) {
    let recording = recording::read(&small::path()).expect("the committed recording");
    let dir = TempDir::new().expect("a temporary directory");
    let path = dir.path().join(file);
    let mut out = std::fs::File::create(&path).expect("a writable file");
    let format = report::by_name(format).expect("a known format");
    format.sink.write(&build(&recording, &Selection::default()), &mut out).expect("a drawn profile");
    (dir, path)
}

const GO_PPROF: Need = Need::Success("`go tool pprof`", &["go", "tool", "-n", "pprof"]);
const DUCKDB: Need = Need::Success("DuckDB for Python (`pip install duckdb`)", &["python3", "-c", "import duckdb"]);
/// `npm install -g speedscope`, and `NODE_PATH=$(npm root -g)` where node does not look there by itself.
const SPEEDSCOPE: Need = Need::Success(
    "speedscope (`npm install -g speedscope`)",
    &["node", "-p", "require.resolve('speedscope/package.json')"],
);

/// Runs a tool that must succeed.
fn run(command: &mut Command) -> Output {
    let output = command.output().expect("a tool that has just run");
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn text(output: Output) -> String {
    String::from_utf8(output.stdout).expect("text")
}

fn go_pprof(path: &Path, options: &[&str]) -> String {
    let mut command = Command::new("go");
    command.args(["tool", "pprof"]).args(options).arg(path);
    text(run(&mut command))
}

/// The cumulative time of a function in what `pprof -top` prints.
fn cumulative<'a>(top: &'a str, function: &str) -> &'a str {
    let row = top.lines().find(|line| line.ends_with(function)).unwrap_or_else(|| panic!("no {function} in:\n{top}"));
    row.split_whitespace().nth(3).unwrap_or_else(|| panic!("no time in {row}"))
}

#[test]
fn go_pprof_reads_both_times_the_threads_and_the_losses() {
    needs!(GO_PPROF);
    let (_dir, path) = draw("pprof", "small.pb.gz");
    let cpu = go_pprof(&path, &["-top"]);
    assert!(cpu.contains("Type: cpu") && cpu.contains("Total samples = 50.51ms"), "{cpu}");
    assert_eq!(cumulative(&cpu, " web::serve::<[u8; 64]>"), "30.30ms");
    let off_cpu = go_pprof(&path, &["-top", "-sample_index=offcpu"]);
    assert_eq!(cumulative(&off_cpu, " futex_wait_queue"), "34.60ms");
    assert_eq!(cumulative(&off_cpu, " ep_poll"), "108ms");
    let waits = go_pprof(&path, &["-top", "-sample_index=offcpu", "-tagfocus=metric=offcpu.io-wait"]);
    assert_eq!(cumulative(&waits, " database"), "4ms");
    let comments = go_pprof(&path, &["-comments"]);
    assert!(comments.contains("samples lost (ring buffer full): 3"), "{comments}");
}

/// speedscope is a page: its own release, from npm, loads the file in a browser and lists the profiles that it found.
#[test]
fn speedscope_imports_both_profiles() {
    needs!(Program("chromium"), SPEEDSCOPE);
    let mut node = Command::new("node");
    node.args(["-p", "require.resolve('speedscope/package.json')"]);
    let package = PathBuf::from(text(node.output().expect("it has just run")).trim());
    let index = package.with_file_name("dist").join("release/index.html");

    let (dir, path) = draw("speedscope", "small.speedscope.json");
    let json = serde_json::to_string(&std::fs::read_to_string(&path).expect("the drawn file")).expect("a string");
    let script = dir.path().join("load.js");
    std::fs::write(&script, format!("speedscope.loadFileFromBase64('small.speedscope.json', btoa({json}))"))
        .expect("a writable file");
    let output = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--enable-unsafe-swiftshader", "--allow-file-access-from-files"])
        .args(["--virtual-time-budget=10000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", dir.path().join("chromium").display()))
        .arg(format!("file://{}#localProfilePath={}", index.display(), script.display()))
        .output()
        .expect("chromium has just run");
    let dom = text(output);
    for shown in ["On-CPU", "50.51ms", "Off-CPU", "149.30ms", "samples lost (ring buffer full): 3"] {
        assert!(dom.contains(shown), "no {shown} in:\n{dom}");
    }
}

/// The rows of a query that runs inside of a recording.
fn duckdb(query: &str, recording: &Path) -> String {
    let mut command = Command::new("python3");
    let script = "import duckdb, sys\nfor row in duckdb.sql(sys.argv[1]).fetchall(): print(*row)";
    command.args(["-c", script, query]).current_dir(recording);
    text(run(&mut command))
}

/// The tables say all that the folded stacks say, without quell.
#[test]
fn duckdb_folds_the_stacks_as_quell_does() {
    needs!(DUCKDB);
    let query = std::fs::read_to_string(small::path().with_file_name("folded.sql")).expect("the query");
    let folded = duckdb(&query, &small::path());
    let (_dir, path) = draw("folded", "small.folded");
    assert_eq!(folded, std::fs::read_to_string(path).expect("the drawn file"));
    // Of a probe that quell does not have, with the same query.
    let mut example = Example::new();
    example.add_locks();
    let dir = TempDir::new().expect("a temporary directory");
    let recording = dir.path().join("x.quell");
    recording::write(&example.recording, &recording).expect("written");
    let mut drawn = Vec::new();
    let sink = report::by_name("folded").expect("a known format").sink;
    sink.write(&build(&example.recording, &Selection::default()), &mut drawn).expect("a drawn profile");
    let drawn = String::from_utf8(drawn).expect("text");
    assert_eq!(duckdb(&query, &recording), drawn);
}

/// The queries of the recording's documentation.
#[test]
fn duckdb_runs_the_queries_of_the_documentation() {
    needs!(DUCKDB);
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/recording-format.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let queries: Vec<String> = page
        .split("```sql\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap_or_default().replace("shop.quell/", ""))
        .collect();
    assert_eq!(queries.len(), 4);
    for query in queries {
        let rows = duckdb(&query, &small::path());
        assert!(!rows.is_empty(), "{query}");
    }
    let hashes = duckdb("SELECT hex(hash) FROM 'stacks.parquet' ORDER BY stack_id", &small::path());
    let hashes: Vec<&str> = hashes.lines().collect();
    let computed: Vec<String> = (Hashes::of(&small::recording()).stacks.iter())
        .map(|hash| hash.iter().map(|byte| format!("{byte:02X}")).collect())
        .collect();
    assert_eq!(hashes, computed);
}

/// The query that the documentation of recordings begins with.
#[test]
fn duckdb_sums_time_by_thread_name_without_a_join() {
    needs!(DUCKDB);
    let query = "SELECT comm, round(sum(value / probability))::BIGINT AS ns FROM 'samples.parquet' GROUP BY 1 ORDER BY ns DESC, comm";
    let rows = duckdb(query, &small::path());
    assert_eq!(rows, "idle helper 100000000\nweb 80404000\ndatabase 14101000\n");
}
