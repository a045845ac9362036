//! The formats as their own readers see them. A test whose reader is not installed is skipped.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

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
    let idle = "without 100 ms of 1 idle thread";
    for shown in ["On-CPU", "50.51ms", "Off-CPU", "49.30ms", idle, "samples lost (ring buffer full): 3"] {
        assert!(dom.contains(shown), "no {shown} in:\n{dom}");
    }
    assert!(!dom.contains("149.30ms"), "{dom}");
}

const FIREFOX_PROFILER: Need = Need::Success(
    "the Firefox Profiler's reader (`npm install -g @firefox-devtools/profiler-cli`)",
    &[
        "node",
        "-e",
        "require('child_process').execFileSync('node', [require.resolve('@firefox-devtools/profiler-cli'), '--version'])",
    ],
);

/// A profile that the Firefox Profiler has loaded, in a process of its own that ends with this.
struct FirefoxProfiler {
    program: String,
    process: Child,
    dir: TempDir,
}

impl FirefoxProfiler {
    fn load(format: &str, file: &str) -> Self {
        let (dir, path) = draw(format, file);
        let mut node = Command::new("node");
        node.args(["-p", "require.resolve('@firefox-devtools/profiler-cli')"]);
        let program = text(run(&mut node)).trim().to_owned();
        // Its own `load` waits half a second for the process, which is not enough on a busy host.
        let mut process = Command::new("node");
        process.arg(&program).arg("--daemon").arg(path).args(["--session", "test"]);
        process.env("PROFILER_CLI_SESSION_DIR", dir.path()).env("PROFILER_CLI_NO_SYMBOLICATE", "1");
        process.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = process.spawn().expect("node has just run");
        let mut reader = Self { program, process, dir };
        while !reader.ask(&["profile", "info"]).status.success() {
            let ended = reader.process.try_wait().expect("a child");
            assert!(ended.is_none(), "the profile cannot be loaded: {ended:?}");
        }
        reader
    }

    fn ask(&self, words: &[&str]) -> Output {
        let mut command = Command::new("node");
        command.arg(&self.program).args(words).args(["--session", "test"]);
        command.env("PROFILER_CLI_SESSION_DIR", self.dir.path()).output().expect("node has just run")
    }

    fn query(&self, words: &[&str]) -> String {
        let output = self.ask(words);
        assert!(output.status.success(), "{words:?}\n{}", String::from_utf8_lossy(&output.stderr));
        text(output)
    }
}

impl Drop for FirefoxProfiler {
    fn drop(&mut self) {
        // If it has ended, the test has failed for that reason.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn the_firefox_profiler_shows_times_intervals_wakers_and_losses() {
    needs!(FIREFOX_PROFILER);
    let reader = FirefoxProfiler::load("firefox", "small.firefox.json");
    let threads = reader.query(&["profile", "info", "--all"]);
    for line in ["4 threads across 3 processes", "t-1: web [tid 101] - 20.202ms", "t-2: database [tid 200] - 10.101ms"]
    {
        assert!(threads.contains(line), "no `{line}` in\n{threads}");
    }
    let samples = reader.query(&["thread", "samples", "--thread", "t-0"]);
    assert!(samples.contains("web!web::encode - self: 20.202ms (100.0%)"), "{samples}");
    let samples = reader.query(&["thread", "samples", "--thread", "t-1"]);
    assert!(samples.contains("[kernel]!copy_to_user - self: 10.101ms (50.0%)"), "{samples}");
    let markers = reader.query(&["thread", "markers", "--thread", "t-1", "--list"]);
    assert!(markers.contains("Off-CPU blocked") && markers.contains("wakeup"), "{markers}");
    let marker = reader.query(&["marker", "info", "m-1"]);
    for line in
        ["Time: 52ms - 55ms (3ms)", "Stands for: 6.600ms", "Woken by: database (200)", "[kernel]!futex_wait_queue"]
    {
        assert!(marker.contains(line), "no `{line}` in\n{marker}");
    }
    let meta = reader.query(&["profile", "meta"]);
    assert!(meta.contains("117 ms of 144 ms are drawn") && meta.contains("ring buffer full): 3"), "{meta}");
}

/// Perfetto's own trace processor is not in a package, but the definition of its messages is.
const PERFETTO: Need = Need::Success(
    "Perfetto's messages for Python (`pip install perfetto protobuf`)",
    &["python3", "-c", "import perfetto.protos.perfetto.trace.perfetto_trace_pb2"],
);

#[test]
fn perfetto_decodes_threads_samples_slices_and_flows() {
    needs!(PERFETTO);
    let (_dir, path) = draw("perfetto", "small.perfetto-trace");
    let script = small::path().with_file_name("decode_perfetto.py");
    let decoded = text(run(Command::new("python3").arg(script).arg(path)));
    for line in [
        "process 100 web",
        "thread 101 of 100 web",
        "track Off-CPU (sampled) of thread 101",
        "sample 100 at 5010000000 MODE_USER web;web::main;web::serve::<[u8; 64]>;web::encode",
        "slice 200 Off-CPU io-wait 4000000 4000000.0 an interrupt database;web::main;io_schedule",
        "flow to 101 at 5055000000",
    ] {
        assert!(decoded.lines().any(|decoded| decoded == line), "no `{line}` in\n{decoded}");
    }
    // All samples, but not the time that was only counted.
    let count = |word: &str| decoded.lines().filter(|line| line.starts_with(word)).count();
    let drawn = small::recording().samples.len();
    assert_eq!(count("sample ") + count("slice "), drawn, "{decoded}");
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
