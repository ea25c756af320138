//! `docs/udf.md` is right: its files are written as it says, built as it says, and give what it says.

mod common;

use std::path::Path;

use arrow::util::pretty::pretty_format_batches;
use common::{build_some, query, session, target, worker, workspace};
use udf_host::{Kind, Limits, Udfs};

/// A block of code, and the last line with a path before it.
struct Block {
    language: String,
    text: String,
    file: Option<String>,
}

fn blocks(page: &str) -> Vec<Block> {
    let (mut blocks, mut file, mut open): (Vec<Block>, Option<String>, Option<Block>) = (Vec::new(), None, None);
    for line in page.lines() {
        match (open.as_mut(), line.strip_prefix("```")) {
            (None, Some(language)) => open = Some(Block { language: language.to_owned(), text: String::new(), file: file.take() }),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => block.text.push_str(&format!("{line}\n")),
            (None, None) => {
                let named = line.strip_prefix('`').and_then(|rest| rest.strip_suffix("`:"));
                file = named.map(str::to_owned).or(file.filter(|_| line.is_empty()));
            }
        }
    }
    assert!(open.is_none(), "every block is closed");
    blocks
}

/// Writes the workspace of the functions to another place, with one of those that ship: the only one with a dependency of
/// its own, so that cargo resolves to what is built already. The place is always the same, so that cargo knows it again.
fn copy_workspace(to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    for file in ["Cargo.toml", "Cargo.lock", "build.sh", "manifest/Cargo.toml", "manifest/src/main.rs", "fixtures/echoes/Cargo.toml", "fixtures/echoes/src/lib.rs", "functions/h3_cell/Cargo.toml", "functions/h3_cell/src/lib.rs"] {
        let target = to.join("udfs").join(file);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(workspace().join(file), target).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_walk_through_is_right() {
    let page = std::fs::read_to_string(workspace().join("../docs/udf.md")).unwrap();
    let blocks = blocks(&page);
    let folder = target().join("tests/walkthrough-page");
    copy_workspace(&folder);
    for block in &blocks {
        if let Some(file) = &block.file {
            let path = folder.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, &block.text).unwrap();
        }
    }
    let functions = folder.join("udfs/functions");
    let manifest = std::fs::read_to_string(functions.join("water_urgency/Cargo.toml")).unwrap();
    std::fs::write(functions.join("longest_dry_s/Cargo.toml"), manifest.replace("water_urgency", "longest_dry_s")).unwrap();

    let out = folder.join("out");
    build_some(&folder.join("udfs"), &out, &["functions/water_urgency", "functions/longest_dry_s"]);
    let udfs = Udfs::open(&out, worker(), Limits::default()).unwrap();
    let kinds: Vec<(&str, Kind)> = udfs.manifests().iter().map(|it| (it.name.as_str(), it.kind)).collect();
    assert_eq!(kinds, [("longest_dry_s", Kind::Aggregate), ("water_urgency", Kind::Scalar)]);

    let session = session(&udfs);
    let answered = blocks.windows(2).filter(|pair| pair[0].language == "sql" && pair[1].language == "text");
    let mut asked = 0;
    for pair in answered {
        let batches = query(&session, pair[0].text.trim().trim_end_matches(';')).await;
        assert_eq!(format!("{}\n", pretty_format_batches(&batches).unwrap()), pair[1].text, "{}", pair[0].text);
        asked += 1;
    }
    assert_eq!(asked, 2, "the page shows two queries with their answers");
    assert_eq!(udfs.take_failures(), []);
}

#[test]
fn its_commands_name_what_is_there() {
    let page = std::fs::read_to_string(workspace().join("../docs/udf.md")).unwrap();
    let commands: String = blocks(&page).into_iter().filter(|block| block.language == "sh").map(|block| block.text).collect();
    assert!(commands.contains("./build.sh ../.citybrain/udfs functions/water_urgency"), "{commands}");
    for path in ["functions/distance_to_asset", "functions/h3_cell/src/lib.rs"] {
        assert!(page.contains(&format!("udfs/{path}")) && workspace().join(path).exists(), "{path}");
    }
}
