//! What a person is told who asks for what is not there or cannot be meant.

use std::fs;

use crate::checkout::Checkout;
use crate::demo;

#[test]
fn a_container_image_is_not_made_or_shown_as_a_disk_nor_a_disk_as_a_container_image() {
    let checkout = Checkout::new(&[demo("1")]);
    checkout.write("out/oci/preon-base.tar", "container image");
    checkout.write("out/oci/manifest.json", "of a disk"); // from when it was taken for one
    for command in ["build", "show"] {
        let error = checkout.forge(&["image", command, "oci"]).error();
        assert!(error.contains("os/images/oci.toml describes a container image"), "{error}");
        assert!(error.contains("hint: run `forge image oci`"), "{error}");
    }
    let kept = fs::read_to_string(checkout.path("out/oci/preon-base.tar")).unwrap();
    assert_eq!(kept, "container image");

    let definition = fs::read_to_string(checkout.path("os/images/demo.toml")).unwrap();
    checkout.write("os/images/other.toml", &format!("{definition}[container]\n"));
    let error = checkout.forge(&["image", "build", "other"]).error();
    assert!(error.contains("hint: take [container] out of it"), "{error}");

    checkout.write("os/images/oci.toml", &definition);
    let error = checkout.forge(&["image", "oci"]).error();
    assert!(error.contains("os/images/oci.toml has no [container]"), "{error}");
    assert_eq!(checkout.archive.server.requests(), [], "it is said before anything is fetched");
}
