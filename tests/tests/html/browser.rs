//! A page in a browser, what it shows, and what a test does there.

use std::path::Path;
use std::process::Command;

use quell::profile::Profile;
use quell::report::Sink;
use quell::report::html::Html;
use quell_tests::memory;

/// What a page shows after its scripts have run.
pub(crate) struct Shown(pub(crate) String);

impl Shown {
    /// The text of the element with this id, without markup.
    pub(crate) fn text(&self, id: &str) -> String {
        let (_, rest) = self.0.split_once(&format!("id=\"{id}\"")).unwrap_or_else(|| panic!("no #{id} in {}", self.0));
        let (_, mut rest) = rest.split_once('>').expect("a whole tag");
        let mut depth = 1;
        let mut text = String::new();
        while let Some((before, tag)) = rest.split_once('<') {
            text.push_str(before);
            let (tag, after) = tag.split_once('>').expect("a whole tag");
            match tag {
                _ if tag.starts_with('/') => depth -= 1,
                _ if ["input", "br"].iter().any(|void| tag.starts_with(void)) => {}
                _ => depth += 1,
            }
            if depth == 0 {
                break;
            }
            text.push(' ');
            rest = after;
        }
        visible(&text).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// What the script called `tell` with.
    pub(crate) fn told(&self, name: &str) -> String {
        let (_, rest) = self.0.split_once(&format!("data-{name}=\"")).unwrap_or_else(|| panic!("{name} was not told"));
        visible(rest.split_once('"').expect("a whole attribute").0)
    }
}

/// Text without escapes.
fn visible(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&nbsp;", " ").replace("&amp;", "&")
}

/// A page, and a window of the browser.
pub(crate) struct Browser {
    /// The files of the page.
    pub(crate) dir: tempfile::TempDir,
    /// Width and height of the window, in pixels.
    size: (u32, u32),
}

impl Browser {
    /// Writes the page.
    pub(crate) fn new(profile: &Profile) -> Self {
        let dir = tempfile::tempdir_in(memory::directory()).expect("a temporary folder");
        let mut page = Vec::new();
        Html.write(profile, &mut page).expect("a vector takes all");
        std::fs::write(dir.path().join("page.html"), page).expect("a file in a fresh folder");
        Self { dir, size: (800, 600) }
    }

    /// The same page in a window of this size.
    pub(crate) fn sized(self, width: u32, height: u32) -> Self {
        Self { size: (width, height), ..self }
    }

    /// Opens the page in the state that a fragment names.
    pub(crate) fn open(&self, fragment: &str) -> Shown {
        self.load("page.html", fragment)
    }

    /// The same, and does what `script` says once the page stands.
    pub(crate) fn open_and(&self, fragment: &str, script: &str) -> Shown {
        let path = self.dir.path();
        let mut page = std::fs::read_to_string(path.join("page.html")).expect("written before");
        page.push_str(&format!(
            "<script>
            const key = (node, key, more) => node.dispatchEvent(new KeyboardEvent('keydown', {{ key, bubbles: true, ...more }}));
            const mouse = (node, type, x, y) => {{
              const box = node.getBoundingClientRect();
              const at = {{ clientX: box.left + x, clientY: box.top + y, button: 0, bubbles: true }};
              node.dispatchEvent(new (type.startsWith('pointer') ? PointerEvent : MouseEvent)(type, at));
            }};
            const tell = (name, value) => document.body.setAttribute(`data-${{name}}`, String(value));
            const all = (selector) => [...document.querySelectorAll(selector)];
            const click = (selector) => document.querySelector(selector).click();
            const type = (text) => {{
              const field = document.getElementById('search');
              field.focus();
              field.value = text;
              field.dispatchEvent(new Event('input', {{ bubbles: true }}));
              return field;
            }};
            const back = () => new Promise((done) => {{
              addEventListener('popstate', () => setTimeout(done, 10), {{ once: true }});
              history.back();
            }});
            const act = async () => {{ {script} }};
            const wait = () => document.getElementById('selection').textContent ? act() : setTimeout(wait, 10);
            wait();
            </script>"
        ));
        std::fs::write(path.join("acting.html"), page).expect("a file in the same folder");
        self.load("acting.html", fragment)
    }

    pub(crate) fn load(&self, file: &str, fragment: &str) -> Shown {
        let path: &Path = self.dir.path();
        let output = Command::new("chromium")
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"])
            .args(["--disable-component-update", "--disable-sync", "--disable-quic", "--virtual-time-budget=5000"])
            .args(["--enable-logging=stderr"])
            .arg(format!("--user-data-dir={}", path.join("browser").display()))
            .arg(format!("--window-size={},{}", self.size.0, self.size.1))
            .arg("--dump-dom")
            .arg(format!("file://{}#{fragment}", path.join(file).display()))
            .output()
            .expect("chromium runs");
        let shown = Shown(String::from_utf8(output.stdout).expect("UTF-8"));
        assert_eq!(shown.text("problems"), "", "the page reports no error of its own");
        let console = String::from_utf8_lossy(&output.stderr);
        assert!(!console.contains("CONSOLE"), "nothing on the console: {console}");
        shown
    }
}
