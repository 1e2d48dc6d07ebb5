//! Embeds the built console, its configuration and its permissions.

use std::path::Path;

fn main() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ui/dist/index.html");
    println!("cargo:rerun-if-changed={}", page.display());
    assert!(
        page.exists(),
        "the console is not built yet: run `npm --prefix ui ci && npm --prefix ui run build` first, or `cargo xtask run`, which does it"
    );
    tauri_build::build();
}
