#![no_main]
//! A control file is read or refused; what is read survives writing.

use formats::deb822::{Writer, paragraphs, single};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for paragraph in paragraphs(text).map_while(Result::ok) {
        let mut writer = Writer::default();
        for field in &paragraph.fields {
            assert!(paragraph.get(field.name).is_some());
            assert!(field.lines().all(|line| !line.contains('\n')));
            writer.field(field.name, field.value).expect("a name that was read");
        }
        let written = writer.finish();
        let again = single(&written).expect("what was written");
        let names = |paragraph: &formats::deb822::Paragraph<'_>| {
            paragraph.fields.iter().map(|field| field.name.to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names(&again), names(&paragraph));
    }
});
