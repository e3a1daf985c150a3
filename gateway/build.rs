//! Says where the console's files are: `console/dist` if it was built, else a stub page, so that cargo never needs Node.

use std::{env, fs, io, path::Path, path::PathBuf};

const STUB: &str = "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>hoop</title>\n\
<h1>hoop</h1><p>This gateway was built without its console. Build <code>console/</code> first \
(<code>npm ci &amp;&amp; npm run build</code>), then the gateway.</p></html>\n";

fn main() -> io::Result<()> {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let built = manifest.join("../console/dist");
    let folder = if built.join("index.html").is_file() { built.canonicalize()? } else { stub()? };
    println!("cargo::rustc-env=HOOP_CONSOLE_DIST={}", folder.display());
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={}", manifest.join("../console/dist").display());
    Ok(())
}

fn stub() -> io::Result<PathBuf> {
    let folder = Path::new(&env::var_os("OUT_DIR").unwrap_or_default()).join("console");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("index.html"), STUB)?;
    Ok(folder)
}
