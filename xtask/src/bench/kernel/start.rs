//! A kernel that only says when it starts: what came before is the firmware's work, and no kernel's.

use std::mem::size_of_val;

/// Where the code begins: behind the header, which the first instruction jumps over.
const ENTRY: usize = 0x270;

/// Writes the time stamp counter to the first serial port, as QEMU has it after power-on, and
/// restarts the machine, which ends QEMU.
#[rustfmt::skip]
const CODE: [u8; 78] = [
    0x0f, 0x31,                         // rdtsc
    0x66, 0x89, 0xc3,                   // mov ebx, eax
    0x66, 0x89, 0xd5,                   // mov ebp, edx
    0xba, 0xf8, 0x03,                   // mov dx, 0x3f8
    0xe8, 0x0f, 0x00,                   // call over the text, whose address is then on the stack
    b'\n', b'm', b'a', b'r', b'k', b' ', b's', b't', b'a', b'r', b't', b' ', b'0', b'x', 0,
    0x5e,                               // pop si
    0x2e, 0xac,                         // text: lods al, cs:[si]
    0x84, 0xc0,                         // test al, al
    0x74, 0x03,                         // jz number
    0xee,                               // out dx, al
    0xeb, 0xf7,                         // jmp text
    0xb9, 0x10, 0x00,                   // number: mov cx, 16 digits
    0x66, 0xc1, 0xc5, 0x04,             // digit: rol ebp, 4
    0x89, 0xe8,                         // mov ax, bp
    0x24, 0x0f,                         // and al, 15
    0x3c, 0x0a, 0x1c, 0x69, 0x2f,       // cmp al, 10; sbb al, 0x69; das: the digit as a letter
    0xee,                               // out dx, al
    0x83, 0xf9, 0x09,                   // cmp cx, 9: the last digit of the upper half
    0x75, 0x03,                         // jne past
    0x66, 0x89, 0xdd,                   // mov ebp, ebx
    0xe2, 0xe8,                         // past: loop digit
    0xb0, 0x0a, 0xee,                   // mov al, '\n'; out dx, al
    0xb0, 0x06, 0xba, 0xf9, 0x0c, 0xee, // mov al, 6; mov dx, 0xcf9; out dx, al: reset
    0xf4, 0xeb, 0xfd,                   // hlt; jmp to it
];

/// The kernel: a boot sector, one sector of set-up code, and 1024 bytes that never run.
///
/// Source: Linux, Documentation/arch/x86/boot.rst, protocol 2.03; Intel SDM volume 2.
pub(super) fn image() -> Vec<u8> {
    let mut image = vec![0; 4 * 512];
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    put(0x1f1, &[1]); // sectors of set-up code
    put(0x1fe, &[0x55, 0xaa]);
    put(0x200, &[0xeb, (ENTRY - 0x202) as u8]); // jmp to the code
    put(0x202, b"HdrS");
    put(0x206, &0x0203_u16.to_le_bytes()); // protocol
    put(0x211, &[1]); // loaded high
    put(0x214, &0x10_0000_u32.to_le_bytes()); // where it would begin
    put(0x22c, &0x37ff_ffff_u32.to_le_bytes()); // the highest address of an initrd
    put(ENTRY, &CODE);
    image
}

// The code ends within the set-up sector.
const _: () = assert!(ENTRY + size_of_val(&CODE) <= 1024);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_sector_and_the_header_are_a_kernels() {
        let image = image();
        assert_eq!(image[0x1fe..0x200], [0x55, 0xaa]);
        assert_eq!(&image[0x202..0x206], b"HdrS");
        let jump = usize::from(image[0x201]);
        assert_eq!(image[0x202 + jump..][..2], CODE[..2]);
    }
}
