//! The C header says what the types are.

use std::fmt::{Display, Write};
use std::process::Command;

use kdht_wire::{Contact, Durability, Fault, FilterKind, Flags, Forward, Kind, ValueKind};

use crate::support::{compare_or_bless, repository_file, structs};

const PATH: &str = "kmod/kdht_wire.h";

const TOP: &str = "\
/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The kdht wire format, version 1, as wire/FORMAT.md describes it.
 *
 * Generated from the types in wire/src; \"BLESS=1 cargo test -p kdht-wire --all-features\"
 * rewrites it, and the same test without BLESS fails where it differs. Every structure may
 * begin at any address.
 */
#ifndef KDHT_WIRE_H
#define KDHT_WIRE_H

#include <linux/types.h>
#ifdef __KERNEL__
#include <linux/build_bug.h>
#include <linux/compiler.h>
#include <linux/stddef.h>
#else
#include <assert.h>
#include <stddef.h>
#ifndef __packed
#define __packed __attribute__((__packed__))
#endif
#endif
";

#[test]
fn the_header_is_what_the_types_say() {
    compare_or_bless(PATH, &header());
}

#[test]
fn the_header_compiles_in_user_space_without_a_warning() {
    compile("user", &header(), &[]).unwrap();
}

#[test]
fn the_header_compiles_in_the_kernel_without_a_warning() {
    // As much of the kernel's headers as there is to need: anything else fails to compile.
    let include = format!("{}/kernel", env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(format!("{include}/linux")).unwrap();
    let types = "typedef unsigned char __u8;\n\
                 typedef unsigned short __le16, __be16;\n\
                 typedef unsigned int __le32;\n\
                 typedef unsigned long long __le64;\n";
    let assert = "#define static_assert(expr) _Static_assert(expr, #expr)\n";
    for (name, text) in [
        ("types.h", types),
        ("build_bug.h", assert),
        ("compiler.h", "#define __packed __attribute__((__packed__))\n"),
        ("stddef.h", "#define offsetof(type, member) __builtin_offsetof(type, member)\n"),
    ] {
        std::fs::write(format!("{include}/linux/{name}"), text).unwrap();
    }
    compile("kernel", &header(), &["-D__KERNEL__", "-nostdinc", "-I", &include]).unwrap();
}

#[test]
fn a_wrong_offset_would_not_compile() {
    let text = header();
    let right = "offsetof(struct kdht_head, sender) == 52";
    assert!(text.contains(right));
    let wrong = text.replace(right, "offsetof(struct kdht_head, sender) == 51");
    assert!(compile("wrong", &wrong, &[]).is_err());
}

/// Has the C compiler check `text`, with every warning an error.
fn compile(name: &str, text: &str, more: &[&str]) -> Result<(), String> {
    let file = format!("{}/kdht_wire_{name}.h", env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(&file, text).unwrap();
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let output = Command::new(&compiler)
        .args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"])
        .args(more)
        .args(["-x", "c", &file])
        .output()
        .unwrap_or_else(|error| panic!("{compiler}: {error}; a C compiler is required"));
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

#[test]
fn the_header_keeps_to_the_kernels_line_length() {
    let text = std::fs::read_to_string(repository_file(PATH)).unwrap();
    for line in text.lines() {
        let tabs = line.chars().filter(|c| *c == '\t').count();
        assert!(line.chars().count() + 7 * tabs <= 100, "{line}");
        assert_eq!(line.trim_end(), line);
    }
}

fn header() -> String {
    let mut out = String::from(TOP);
    write_limits(&mut out);
    write_flags(&mut out);
    write_enums(&mut out);
    write_structs(&mut out);
    write_asserts(&mut out);
    out.push_str("\n#endif /* KDHT_WIRE_H */\n");
    out
}

fn write_limits(out: &mut String) {
    let mut group = |comment: &str, constants: &[(&str, &dyn Display)]| {
        write!(out, "\n/* {comment} */\n").unwrap();
        for (name, value) in constants {
            define(out, name, value);
        }
    };
    let [magic_0, magic_1] = kdht_wire::MAGIC.map(|byte| format!("0x{byte:02x}"));
    group(
        "First bytes of every message",
        &[
            ("MAGIC_0", &magic_0),
            ("MAGIC_1", &magic_1),
            ("VERSION", &kdht_wire::VERSION),
            ("VERSION_MIN", &kdht_wire::VERSION_MIN),
        ],
    );
    group(
        "Lengths and limits, in bytes where no other unit is named",
        &[
            ("OUTLINE_LEN", &kdht_wire::Outline::LEN),
            ("HEAD_LEN", &kdht_wire::HEAD_LEN),
            ("ID_LEN", &kdht_wire::ID_LEN),
            ("MAC_LEN", &kdht_wire::MAC_LEN),
            ("SALT_LEN", &kdht_wire::SALT_LEN),
            ("EXT_HEAD_LEN", &kdht_wire::EXT_HEAD_LEN),
            ("RECORD_LEN_MAX", &kdht_wire::RECORD_LEN_MAX),
            ("DATAGRAM_LEN_MAX", &kdht_wire::DATAGRAM_LEN_MAX),
            ("STREAM_LEN_MAX", &kdht_wire::STREAM_LEN_MAX),
            ("INLINE_VALUE_LEN_MAX", &kdht_wire::INLINE_VALUE_LEN_MAX),
            ("VALUE_LEN_MAX", &kdht_wire::VALUE_LEN_MAX),
            ("EXTENSIONS_MAX", &kdht_wire::EXTENSIONS_MAX),
            ("HOPS_MAX", &Forward::HOPS_MAX),
            ("TIME_SKEW_S_MAX", &kdht_wire::TIME_SKEW_S_MAX),
            ("UNPROVEN_FACTOR", &kdht_wire::UNPROVEN_FACTOR),
        ],
    );
    group(
        "Places in the head",
        &[
            ("ARG_OFFSET", &kdht_wire::ARG_OFFSET),
            ("BODY_LEN_OFFSET", &kdht_wire::BODY_LEN_OFFSET),
            ("TX_ID_OFFSET", &kdht_wire::TX_ID_OFFSET),
            ("SHARD_OFFSET", &kdht_wire::SHARD_OFFSET),
            ("TARGET_OFFSET", &kdht_wire::TARGET_OFFSET),
        ],
    );
    let unconditional = format!("{:#x}ULL", kdht_wire::StoreBody::UNCONDITIONAL);
    group(
        "The transaction id's top byte where the kernel asked; the cas of an unconditional store",
        &[("SHARD_KERNEL", &kdht_wire::SHARD_KERNEL), ("STORE_UNCONDITIONAL", &unconditional)],
    );
}

fn write_flags(out: &mut String) {
    out.push_str("\n/* Flags of the head, of a contact and of a record, in host order */\n");
    for (flag, name) in Flags::NAMED {
        define(out, &format!("FLAG_{}", name.to_uppercase()), format!("{:#06x}", flag.0));
    }
    for (name, bits) in [
        ("FLAGS_RESERVED_ZERO", Flags::RESERVED_ZERO.0),
        ("FLAGS_RESERVED_IGNORED", Flags::RESERVED_IGNORED.0),
        ("CONTACT_FLAGS_RESERVED_ZERO", Contact::FLAGS_RESERVED_ZERO),
    ] {
        define(out, name, format!("{bits:#06x}"));
    }
    for (name, bits) in [
        ("RECORD_ANNOUNCED", kdht_wire::RECORD_ANNOUNCED),
        ("RECORD_RESERVED_ZERO", kdht_wire::RECORD_RESERVED_ZERO),
    ] {
        define(out, name, format!("{bits:#04x}"));
    }
}

fn define(out: &mut String, name: &str, value: impl Display) {
    // Values begin at the same column: 5 tabs from the margin.
    let start = format!("#define KDHT_{name}");
    let tabs = (5 * 8_usize).saturating_sub(start.len()).div_ceil(8).max(1);
    writeln!(out, "{start}{}{value}", "\t".repeat(tabs)).unwrap();
}

fn write_enums(out: &mut String) {
    let mut group = |name: &str, comment: &str, members: &[(u16, &str)]| {
        write!(out, "\n/* {comment} */\nenum kdht_{name} {{\n").unwrap();
        // The members' prefix is as long as the constants' in Rust.
        let name = ["_type", "_kind"].iter().fold(name, |name, end| name.trim_end_matches(end));
        for (number, member) in members {
            let full = format!("KDHT_{name}_{member}").to_uppercase();
            writeln!(out, "\t{full} = {number},").unwrap();
        }
        out.push_str("};\n");
    };
    group("kind", "What a message asks or answers", &Kind::ALL.map(|k| (k as u16, k.name())));
    group(
        "fault",
        "Why a request was refused, in the arg of a FAULT",
        &Fault::ALL.map(|fault| (fault as u16, fault.name())),
    );
    group("value_kind", "How a value proves itself", &ValueKind::ALL.map(|k| (k as u16, k.name())));
    group(
        "filter_kind",
        "Which values a FIND_VALUE request wants",
        &[
            (FilterKind::Any as u16, "any"),
            (FilterKind::Immutable as u16, "immutable"),
            (FilterKind::Signed as u16, "signed"),
            (FilterKind::Plain as u16, "plain"),
        ],
    );
    let levels = [Durability::Memory, Durability::Os, Durability::Disk];
    group(
        "durability",
        "How durable what was stored is, in the arg of a STORE reply",
        &levels.map(|level| (level as u16, level.name())),
    );
    group(
        "ext_type",
        "Extensions; others are skipped",
        &[(kdht_wire::EXT_PADDING, "padding"), (kdht_wire::EXT_FORWARD, "forward")],
    );
}

fn write_structs(out: &mut String) {
    out.push_str(
        "\n/* An id or a key: 160 bits, most significant byte first */\n\
         struct kdht_id {\n\t__u8 bytes[KDHT_ID_LEN];\n} __packed;\n",
    );
    for one in structs::all() {
        let first = one.meaning[..1].to_uppercase();
        write!(out, "\n/* {first}{} */\n", &one.meaning[1..]).unwrap();
        writeln!(out, "struct {} {{", one.c_name).unwrap();
        for field in &one.fields {
            let count = field.count.map_or(String::new(), |count| format!("[{count}]"));
            writeln!(out, "\t{} {}{count};", field.c_type, field.name).unwrap();
        }
        out.push_str("} __packed;\n");
    }
}

fn write_asserts(out: &mut String) {
    out.push_str("\n/* Sizes and offsets as the Rust compiler lays them out */\n");
    writeln!(out, "static_assert(sizeof(struct kdht_id) == {});", size_of::<kdht_wire::Id>())
        .unwrap();
    for one in structs::all() {
        let name = one.c_name;
        writeln!(out, "static_assert(sizeof(struct {name}) == {});", one.size).unwrap();
        for field in &one.fields {
            let (member, offset, size) = (field.name, field.offset, field.size);
            writeln!(out, "static_assert(offsetof(struct {name}, {member}) == {offset});").unwrap();
            let of = format!("sizeof(((struct {name} *)0)->{member})");
            writeln!(out, "static_assert({of} == {size});").unwrap();
        }
    }
}
