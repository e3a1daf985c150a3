//! How the values of a type are written, as far as masking asks.
//!
//! Types are known by the numbers that PostgreSQL's catalog gives them (`pg_type.dat`), which never change.

/// How values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) form: Form,
    /// In the protocol's binary form?
    pub(super) binary: bool,
}

/// What they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Text, also in binary.
    Text,
    Json,
    /// In binary it has a version in front.
    Jsonb,
    /// Of anything.
    Array,
    /// A whole number of so many bytes.
    Integer(u8),
    /// A floating-point number.
    Float,
    /// A decimal number.
    Numeric,
    Date,
    Timestamp,
    Bytes,
    /// Nothing in it tells about anybody: a truth value, an object's number, a time of day.
    Harmless,
    /// What is not known.
    Other,
}

impl Shape {
    pub(super) const UNKNOWN: Self = Self { form: Form::Other, binary: false };

    pub(super) const fn of(type_id: u32, binary: bool) -> Self {
        let form = match type_id {
            18 | 19 | 25 | 142 | 705 | 1042 | 1043 | 2275 => Form::Text,
            114 => Form::Json,
            3802 => Form::Jsonb,
            21 => Form::Integer(2),
            23 => Form::Integer(4),
            20 => Form::Integer(8),
            700 | 701 => Form::Float,
            1700 => Form::Numeric,
            1082 => Form::Date,
            1114 | 1184 => Form::Timestamp,
            17 => Form::Bytes,
            // bool, xid, tid, cid, time, interval, timetz, void, reg…, xid8, uuid, pg_lsn
            16
            | 24
            | 26..=29
            | 1083
            | 1186
            | 1266
            | 2202..=2206
            | 2278
            | 2950
            | 3220
            | 4089
            | 4096
            | 5069 => Form::Harmless,
            143
            | 199
            | 1001..=1003
            | 1005
            | 1007
            | 1009
            | 1014..=1016
            | 1021
            | 1022
            | 1041
            | 1115
            | 1182
            | 1185
            | 1231
            | 3807 => Form::Array,
            _ => Form::Other,
        };
        Self { form, binary }
    }

    pub(super) fn is_harmless(self) -> bool {
        self.form == Form::Harmless
    }

    /// What `count` answers with, and what literals are.
    pub(super) const fn is_count_or_literal(type_id: u32) -> bool {
        matches!(type_id, 20 | 23 | 25 | 705 | 1700)
    }
}

/// Tables of the server's own that describe others and hold nothing of theirs.
pub(super) const fn describes_others(table: u32) -> bool {
    // pg_type, pg_attribute, pg_proc, pg_class, pg_attrdef, pg_constraint, pg_inherits, pg_index, pg_operator, pg_opfamily,
    // pg_opclass, pg_am, pg_language, pg_namespace, pg_depend, pg_database, pg_enum, pg_collation, pg_range, pg_extension
    matches!(
        table,
        1247 | 1249 | 1255 | 1259 | 1262 | 2601 | 2604 | 2606 | 2608 | 2610..=2612 | 2615..=2617 | 2753 | 3079 | 3456
            | 3501 | 3541
    )
}
