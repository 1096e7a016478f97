//! scratch, never committed
use base::progress::*;
use packages::deb::*;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
struct P;
struct T(String, std::sync::atomic::AtomicU64, Option<u64>, std::time::Instant);
impl Progress for P {
    fn begin(&self, what: &str, total: Option<u64>, _: Unit) -> Box<dyn Task> {
        Box::new(T(what.into(), 0.into(), total, std::time::Instant::now()))
    }
    fn note(&self, l: &str) {
        println!("{l}")
    }
}
impl Task for T {
    fn advance(&self, n: u64) {
        self.1.fetch_add(n, std::sync::atomic::Ordering::Relaxed);
    }
}
impl Drop for T {
    fn drop(&mut self) {
        println!("{}: {:?} of {:?} {:?}", self.0, self.1, self.2, self.3.elapsed())
    }
}
fn curate(deb: &Path, out: &Path) -> compose::Input {
    let d = Deb::open(deb).unwrap();
    let mut all: BTreeMap<String, (Entry, Vec<u8>)> = BTreeMap::new();
    let mv = |p: &str| -> Option<String> {
        let p = if let Some(r) = p.strip_prefix("etc/") {
            format!("usr/share/preon/etc/{r}")
        } else if ["bin/", "sbin/", "lib/", "lib64/"].iter().any(|x| p.starts_with(x)) {
            format!("usr/{p}")
        } else {
            p.to_owned()
        };
        if !p.starts_with("usr/")
            || (p.starts_with("usr/share/doc/") && !p.ends_with("/copyright"))
            || [
                "usr/share/man",
                "usr/share/locale",
                "usr/include",
                "usr/share/lintian",
                "usr/share/bug",
                "usr/share/perl",
                "usr/share/debconf",
                "usr/share/bash-completion",
            ]
            .iter()
            .any(|x| p.starts_with(x))
        {
            return None;
        }
        if ["usr/share/preon/etc/init.d", "usr/share/preon/etc/cron"]
            .iter()
            .any(|x| p.starts_with(x))
        {
            return None;
        }
        Some(p)
    };
    d.visit::<DebError>(Limits::default(), |e, r| {
        let Some(path) = mv(&e.path) else { return Ok(()) };
        let mut v = Vec::new();
        r.read_to_end(&mut v).unwrap();
        let mut e = e.clone();
        e.path = path.clone();
        if let Kind::HardLink(t) = &e.kind {
            e.kind = Kind::HardLink(mv(t).unwrap());
        }
        all.insert(path, (e, v));
        Ok(())
    })
    .unwrap();
    let name = d.control().name().to_string();
    let mut w = Writer::new(1, 0).unwrap();
    let mut add = |path: &str, text: &str| {
        let e = Entry {
            path: path.into(),
            kind: Kind::File,
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: 0,
            xattrs: vec![],
            size: text.len() as u64,
        };
        w.add(&e, &mut text.as_bytes()).unwrap();
    };
    if name == "base-files" {
        for l in std::env::var("SYSUSERS").into_iter() {
            add("usr/lib/sysusers.d/preon-all.conf", &std::fs::read_to_string(l).unwrap());
        }
    }
    if name == "base-files" {
        add("usr/lib/systemd/system-preset/99-default.preset", "disable *\n");
    }
    for pass in 0..2 {
        for (e, v) in all.values() {
            let link = matches!(e.kind, Kind::HardLink(_));
            if link != (pass == 1) {
                continue;
            }
            w.add(e, &mut &v[..]).unwrap();
        }
    }
    let mut c = d.control().clone();
    c.set_version(c.version().with_preon(1));
    let bytes = w.finish(&c).unwrap();
    let at = out.join(format!("{name}.deb"));
    std::fs::write(&at, &bytes).unwrap();
    compose::Input { deb: at, digest: base::Digest::of(&bytes), suite: "trixie".into() }
}
fn main() {
    let mut a = std::env::args().skip(1);
    let (debs, out, mk, z) =
        (a.next().unwrap(), a.next().unwrap(), a.next().unwrap(), a.next().unwrap());
    let skip: Vec<String> = a.collect();
    std::fs::create_dir_all(&out).unwrap();
    let mut inputs = vec![];
    for f in std::fs::read_dir(debs).unwrap() {
        let f = f.unwrap().path();
        let n = f.file_name().unwrap().to_str().unwrap().to_owned();
        if !n.ends_with(".deb") || skip.iter().any(|s| n.starts_with(&format!("{s}_"))) {
            continue;
        }
        inputs.push(curate(&f, Path::new(&out)));
    }
    let _ = Arc::new(0);
    let mut image = compose::Image::default();
    image.presets.insert("docker.service".into(), true);
    image.presets.insert("ssh.service".into(), true);
    image.etc.insert("/etc/hostname".into(), "preon\n".into());
    for l in std::env::var("ALLOW").unwrap_or_default().split_whitespace() {
        image.missing_libraries.insert(l.into());
    }
    let r = compose::Request {
        name: "base".into(),
        packages: inputs,
        image,
        product: compose::Product {
            version: "0.1".into(),
            build_id: "1".into(),
            image: "minimal".into(),
        },
        epoch: 1_700_000_000,
        compression: compose::Compression { algorithm: z, cluster_bytes: 65536 },
    };
    let w = compose::Workshop {
        folder: Path::new(&out).join("out"),
        mkfs: base::child::Program::new(mk),
    };
    let t = std::time::Instant::now();
    match compose::compose(&r, &w, &P) {
        Ok(c) => {
            for f in &c.findings {
                println!("finding: {f}");
            }
            println!("{:#?}", c.layer);
            println!("{} packages, {:?}", c.packages.len(), t.elapsed());
        }
        Err(e) => {
            print!("{}", base::explain::render(&e));
            std::process::exit(1)
        }
    }
    println!(
        "{}",
        std::fs::read_to_string("/proc/self/status")
            .unwrap()
            .lines()
            .find(|l| l.starts_with("VmHWM"))
            .unwrap()
    );
}
