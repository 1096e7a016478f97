#![no_main]
//! Whatever a copyright file holds, its licences are an expression of SPDX, and all texts that it needs are there.

use libfuzzer_sys::fuzz_target;
use packages::copyright::licences;

fuzz_target!(|text: &str| {
    let found = licences(text);
    let expression = spdx::Expression::parse(&found.expression).unwrap();
    let unknown = expression.requirements().filter_map(|it| it.req.license.id().is_none().then(|| it.req.license.to_string()));
    for name in unknown {
        assert!(found.extracted.contains_key(&name), "{name}");
    }
});
