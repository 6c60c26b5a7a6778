//! What cargo knows about the packages.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// The packages that are built for this machine.
#[derive(Debug, Default)]
pub(crate) struct Metadata {
    pub(crate) packages: BTreeMap<String, Package>,
}

/// One package, by cargo's own id.
#[derive(Debug, Clone, Default)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) licence: Option<String>,
    /// Whether it is a member of this workspace.
    pub(crate) ours: bool,
    /// The packages it is linked with.
    pub(crate) normal: BTreeSet<String>,
    /// The packages its tests, examples and build script use.
    pub(crate) others: BTreeSet<String>,
}

impl Metadata {
    /// Asks cargo, for this machine's platform, so that nothing is fetched that is not built.
    pub(crate) fn of(root: &Path) -> Result<Metadata, String> {
        let run = |program: &str, arguments: &[&str]| {
            let out = Command::new(program).args(arguments).current_dir(root).output().map_err(|e| e.to_string())?;
            match out.status.success() {
                true => String::from_utf8(out.stdout).map_err(|e| e.to_string()),
                false => Err(String::from_utf8_lossy(&out.stderr).into_owned()),
            }
        };
        let version = run("rustc", &["-vV"])?;
        let host = version.lines().find_map(|l| l.strip_prefix("host: ")).ok_or("rustc names no host")?;
        let text = run("cargo", &["metadata", "--format-version", "1", "--locked", "--filter-platform", host])?;
        Metadata::parse(&text)
    }

    pub(crate) fn parse(text: &str) -> Result<Metadata, String> {
        let all: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        let list = |v: &Value| v.as_array().cloned().unwrap_or_default();
        let ours: BTreeSet<String> = list(&all["workspace_members"]).iter().map(text).collect();
        let mut packages = BTreeMap::new();
        for node in list(&all["resolve"]["nodes"]) {
            let id = text(&node["id"]);
            let mut package = Package { ours: ours.contains(&id), ..Package::default() };
            for dependency in list(&node["deps"]) {
                let kinds = list(&dependency["dep_kinds"]);
                let linked = kinds.iter().any(|k| k["kind"].is_null());
                let side = if linked { &mut package.normal } else { &mut package.others };
                side.insert(text(&dependency["pkg"]));
            }
            packages.insert(id, package);
        }
        for described in list(&all["packages"]) {
            if let Some(package) = packages.get_mut(&text(&described["id"])) {
                package.name = text(&described["name"]);
                package.version = text(&described["version"]);
                package.licence = described["license"].as_str().map(str::to_owned);
            }
        }
        Ok(Metadata { packages })
    }

    /// The members of the workspace.
    pub(crate) fn ours(&self) -> impl Iterator<Item = &Package> {
        self.packages.values().filter(|p| p.ours)
    }

    /// The name of a package.
    pub(crate) fn name<'n>(&'n self, id: &'n str) -> &'n str {
        self.packages.get(id).map_or(id, |p| &p.name)
    }

    /// Everything that is linked into a package, with one way to it.
    pub(crate) fn linked<'m>(&'m self, package: &'m Package) -> BTreeMap<&'m str, Vec<&'m str>> {
        let mut found: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut next: Vec<(&str, Vec<&str>)> = package.normal.iter().map(|id| (id.as_str(), vec![])).collect();
        while let Some((id, way)) = next.pop() {
            if found.contains_key(id) {
                continue;
            }
            let Some(dependency) = self.packages.get(id) else { continue };
            let mut way = way;
            way.push(dependency.name.as_str());
            next.extend(dependency.normal.iter().map(|inner| (inner.as_str(), way.clone())));
            found.insert(id, way);
        }
        found
    }
}
