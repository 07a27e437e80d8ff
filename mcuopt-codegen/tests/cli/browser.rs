//! The page in a real browser: nothing sticks out at any width, tables sort, cores switch. Skipped where there is no
//! Chromium.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::common::Result;
use crate::ensure;
use crate::models::{classifier, written};
use crate::program::{mcuopt, skip};

/// Runs in the page behind its own script, and leaves what it found in an attribute.
const PROBE: &str = r##"<script>
const found = { width: innerWidth, page: document.documentElement.scrollWidth, wide: [], ground: getComputedStyle(document.body).backgroundColor };
for (const card of document.querySelectorAll(".card, .tile, header")) {
  if (card.offsetParent && card.getBoundingClientRect().right > innerWidth + 0.5) found.wide.push(card.textContent.slice(0, 30));
}
// Texts of the pictures that stick out of their boxes.
found.out = [...document.querySelectorAll("body *")].filter(
  (part) => !part.closest(".scroll") && part.getBoundingClientRect().right > innerWidth + 0.5).map((part) => part.outerHTML.slice(0, 60));
found.texts = [...document.querySelectorAll("svg.network .node")].filter((node) => node.getBoundingClientRect().width > 0 && [...node.querySelectorAll("text")].some(
  (text) => text.getBoundingClientRect().right > node.querySelector("rect").getBoundingClientRect().right)).map((node) => node.textContent);
const table = document.querySelector("table.sortable");
const cycles = () => [...table.tBodies[0].rows].map((row) => Number(row.cells[5].dataset.value));
const button = table.tHead.rows[0].cells[5].querySelector("button");
button.click();
found.descending = cycles();
button.click();
found.ascending = cycles();
found.sort = table.tHead.rows[0].cells[5].getAttribute("aria-sort");
document.querySelectorAll("nav button")[1].click();
found.shown = [...document.querySelectorAll("[data-target]")].map((part) => part.hidden);
parent.document.body.dataset.found = encodeURIComponent(JSON.stringify(found));
</script>"##;

fn browser() -> Option<&'static str> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    names
        .into_iter()
        .find(|name| Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success()))
}

fn probe(browser: &str, page: &Path, dark: bool) -> Result<Value> {
    let scheme = if dark { 0 } else { 1 };
    let profile = page.with_extension("profile");
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", "--virtual-time-budget=2000"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("--blink-settings=preferredColorScheme={scheme}"))
        .arg("--window-size=1500,1000")
        .arg(format!("file://{}", page.display()))
        .output()?;
    let dom = String::from_utf8_lossy(&output.stdout);
    let found = dom.split_once("data-found=\"").and_then(|(_, rest)| rest.split_once('"'));
    let (found, _) = found.ok_or_else(|| format!("the script did not run: {dom}"))?;
    let mut bytes = Vec::new();
    let mut rest = found.bytes();
    while let Some(byte) = rest.next() {
        let digits = [rest.clone().next(), rest.clone().nth(1)];
        match (byte, digits) {
            (b'%', [Some(a), Some(b)]) => {
                bytes.push(u8::from_str_radix(std::str::from_utf8(&[a, b])?, 16)?);
                rest.nth(1);
            }
            _ => bytes.push(byte),
        }
    }
    Ok(serde_json::from_slice(&bytes)?)
}

#[test]
fn the_page_is_at_home_on_a_phone_and_on_a_desk() -> Result {
    let Some(browser) = browser() else { return skip("no Chromium") };
    let path = written("a_network_whose_name_is_rather_long_for_a_narrow_window", &classifier(9, 3), 8)?;
    let page = path.with_extension("html");
    let run = mcuopt(&[&"report", &path, &"--target", &"cortex-m4,cortex-m0plus,riscv32imc", &"--html", &page])?;
    ensure!(run.code == Some(0), "{run:?}");
    let html = fs::read_to_string(&page)?.replace("</body>", &format!("{PROBE}</body>"));
    let html = html.replace('&', "&amp;").replace('"', "&quot;");
    let mut grounds = Vec::new();
    for (width, dark) in [(400, false), (1400, false), (1400, true)] {
        // Windows are not as narrow as phones: a frame in one is.
        let frame = page.with_extension(format!("{width}-{dark}.html"));
        fs::write(
            &frame,
            format!("<!doctype html><body><iframe width={width} height=900 style=border:0 srcdoc=\"{html}\"></iframe>"),
        )?;
        let found = probe(browser, &frame, dark)?;
        ensure!(found["width"] == width, "{found}");
        ensure!(found["page"].as_u64() <= found["width"].as_u64(), "{width}: the page scrolls sideways: {found}");
        ensure!(
            found["wide"] == serde_json::json!([])
                && found["out"] == serde_json::json!([])
                && found["texts"] == serde_json::json!([]),
            "{width}: {found}"
        );
        let numbers = |name: &str| -> Vec<u64> {
            found[name].as_array().into_iter().flatten().filter_map(Value::as_u64).collect()
        };
        let (descending, ascending) = (numbers("descending"), numbers("ascending"));
        ensure!(descending.len() > 5 && descending.is_sorted_by(|a, b| a >= b), "{descending:?}");
        ensure!(ascending.is_sorted() && ascending.len() == descending.len(), "{ascending:?}");
        ensure!(found["sort"] == "ascending" && found["shown"] == serde_json::json!([true, false, true]), "{found}");
        grounds.push(found["ground"].clone());
    }
    ensure!(grounds[0] == grounds[1] && grounds[1] != grounds[2], "no dark: {grounds:?}");
    Ok(())
}
