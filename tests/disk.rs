//! The built image, judged by tools that know nothing of us.

use std::process::Command;

use system_tests::{Image, forge, open, run};

fn partition_file(image: &Image, index: usize, folder: &tempfile::TempDir) -> std::path::PathBuf {
    let file = folder.path().join("partition");
    image.extract(image.partitions()[index], &file);
    file
}

#[test]
fn sfdisk_accepts_the_partition_table() {
    let disk = open("minimal").file("disk.raw");
    let report = run(Command::new("sfdisk").arg("--verify").arg(disk));
    assert!(report.contains("No errors detected"), "{report}");
}

#[test]
fn fsck_vfat_accepts_the_esp() {
    let folder = tempfile::tempdir().unwrap();
    let esp = partition_file(&open("minimal"), 0, &folder);
    let report = run(Command::new("fsck.vfat").args(["-n", "-v"]).arg(&esp));
    for complaint in ["differ", "bad", "orphan", "corrupt"] {
        assert!(!report.to_lowercase().contains(complaint), "{report}");
    }
}

#[test]
fn the_esp_holds_the_loader_and_the_unified_kernel_image() {
    let image = open("minimal");
    let folder = tempfile::tempdir().unwrap();
    let esp = partition_file(&image, 0, &folder);
    let kernel = format!("::/EFI/Linux/{}", image.manifest().kernel.entry_id());
    for (there, here) in [("::/EFI/BOOT/BOOTX64.EFI", "loader.efi"), (&kernel, "preon.efi")] {
        let copy = folder.path().join("copy");
        run(Command::new("mcopy").args(["-n", "-o", "-i"]).arg(&esp).arg(there).arg(&copy));
        assert!(
            std::fs::read(&copy).unwrap() == std::fs::read(image.file(here)).unwrap(),
            "{here}"
        );
    }
}

#[test]
fn e2fsck_accepts_the_data_filesystem() {
    let folder = tempfile::tempdir().unwrap();
    let data = partition_file(&open("minimal"), 1, &folder);
    run(Command::new("e2fsck").args(["-f", "-n"]).arg(&data));
}

#[test]
fn veritysetup_accepts_every_layer() {
    let image = open("minimal");
    for layer in &image.manifest().layers {
        let (erofs, verity) = image.layer(layer);
        let mut verify = Command::new("veritysetup");
        run(verify.arg("verify").arg(erofs).arg(verity).arg(&layer.root_hash));
    }
}

#[test]
fn fsck_erofs_accepts_every_layer() {
    let image = open("minimal");
    for layer in &image.manifest().layers {
        run(forge::fsck_erofs(&image.manifest()).arg(image.layer(layer).0));
    }
}

#[test]
fn the_minimal_host_is_as_small_as_promised() {
    const MB: u64 = 1_000_000;
    let mut show = Command::new(forge::program());
    show.args(["image", "show", "minimal", "--json"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let shown = run(&mut show);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let bytes = |name: &str| shown[name].as_u64().unwrap_or_else(|| panic!("{name}: {shown}"));
    for (name, limit) in [("layer", 102), ("download", 115), ("footprint", 120)] {
        let found = bytes(&format!("{name}_bytes"));
        assert!(found <= limit * MB, "{name}: {found} bytes, {limit} MB at most");
    }
    let kernels = shown["kernels"].as_array().unwrap();
    let [kernel] = &kernels[..] else { panic!("one kernel: {shown}") };
    let part = |name: &str| kernel[name].as_u64().unwrap_or_else(|| panic!("{name}: {kernel}"));
    assert!(part("uki_bytes") > part("kernel_bytes") + part("initrd_bytes"));
    assert_eq!(kernel["release"], open("minimal").manifest().kernel.release);
    assert!(bytes("image_apparent_bytes") >= bytes("image_bytes"));
    let packages = shown["packages"].as_array().unwrap();
    let installed = packages.iter().map(|package| package["installed_bytes"].as_u64().unwrap());
    assert!(installed.sum::<u64>() > bytes("layer_bytes"), "unpacked it is larger");
    let docker = packages.iter().find(|package| package["name"] == "docker.io").unwrap();
    assert!(docker["version"].as_str().unwrap().contains("+0preon"), "{docker}");
}
