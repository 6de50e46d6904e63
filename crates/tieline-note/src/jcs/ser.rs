//! The serde serializer that writes canonical JSON.
//!
//! Shapes are serde_json's: unit variants are strings, other variants an object of one member, `None` and unit
//! are null, bytes an array of numbers. Map keys are strings; integers and booleans as keys are refused, because
//! a reader would have to guess.

use std::fmt::{self, Display, Write as _};

use serde::ser::{self, Impossible, Serialize};

use super::object::Object;
use super::{DEPTH_MAX, JcsError, number, text};

#[derive(Debug)]
pub(super) struct Writer<'o> {
    out: &'o mut Vec<u8>,
    depth: usize,
}

impl<'o> Writer<'o> {
    pub(super) fn new(out: &'o mut Vec<u8>) -> Self {
        Self { out, depth: 0 }
    }

    #[inline]
    fn descend(&mut self) -> Result<(), JcsError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            Err(JcsError::Depth)
        } else {
            Ok(())
        }
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Opens `{"variant":`, to be closed by `}`.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "within a struct all names are known, so that comparing them is left to the compiler"
    )]
    fn open_variant(&mut self, variant: &'static str) -> Result<(), JcsError> {
        self.descend()?;
        Object::open(self.out).field(self.out, variant)
    }

    #[inline]
    fn close_variant(&mut self) {
        self.put(b"}");
        self.depth -= 1;
    }
}

// === impl Serializer ===

impl<'w, 'o> ser::Serializer for &'w mut Writer<'o> {
    type Ok = ();
    type Error = JcsError;
    type SerializeSeq = Array<'w, 'o>;
    type SerializeTuple = Array<'w, 'o>;
    type SerializeTupleStruct = Array<'w, 'o>;
    type SerializeTupleVariant = Array<'w, 'o>;
    type SerializeMap = Members<'w, 'o>;
    type SerializeStruct = Members<'w, 'o>;
    type SerializeStructVariant = Members<'w, 'o>;

    fn serialize_bool(self, value: bool) -> Result<(), JcsError> {
        self.put(if value { b"true" } else { b"false" });
        Ok(())
    }
    fn serialize_i8(self, value: i8) -> Result<(), JcsError> {
        number::write_i64(self.out, value.into())
    }
    fn serialize_i16(self, value: i16) -> Result<(), JcsError> {
        number::write_i64(self.out, value.into())
    }
    fn serialize_i32(self, value: i32) -> Result<(), JcsError> {
        number::write_i64(self.out, value.into())
    }
    fn serialize_i64(self, value: i64) -> Result<(), JcsError> {
        number::write_i64(self.out, value)
    }
    fn serialize_i128(self, value: i128) -> Result<(), JcsError> {
        let value = i64::try_from(value).map_err(|_| JcsError::Integer(value.to_string()))?;
        number::write_i64(self.out, value)
    }
    fn serialize_u8(self, value: u8) -> Result<(), JcsError> {
        number::write_u64(self.out, value.into())
    }
    fn serialize_u16(self, value: u16) -> Result<(), JcsError> {
        number::write_u64(self.out, value.into())
    }
    fn serialize_u32(self, value: u32) -> Result<(), JcsError> {
        number::write_u64(self.out, value.into())
    }
    fn serialize_u64(self, value: u64) -> Result<(), JcsError> {
        number::write_u64(self.out, value)
    }
    fn serialize_u128(self, value: u128) -> Result<(), JcsError> {
        let value = u64::try_from(value).map_err(|_| JcsError::Integer(value.to_string()))?;
        number::write_u64(self.out, value)
    }
    fn serialize_f32(self, value: f32) -> Result<(), JcsError> {
        number::write_f64(self.out, value.into())
    }
    fn serialize_f64(self, value: f64) -> Result<(), JcsError> {
        number::write_f64(self.out, value)
    }
    fn serialize_char(self, value: char) -> Result<(), JcsError> {
        text::write(self.out, value.encode_utf8(&mut [0; 4]));
        Ok(())
    }
    fn serialize_str(self, value: &str) -> Result<(), JcsError> {
        text::write(self.out, value);
        Ok(())
    }
    /// Without the text between.
    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<(), JcsError> {
        self.put(b"\"");
        write!(Escaped(self.out), "{value}")
            .map_err(|_| JcsError::Custom("a text does not display".to_owned()))?;
        self.put(b"\"");
        Ok(())
    }
    fn serialize_bytes(self, value: &[u8]) -> Result<(), JcsError> {
        value.serialize(self)
    }
    fn serialize_none(self) -> Result<(), JcsError> {
        self.serialize_unit()
    }
    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), JcsError> {
        value.serialize(self)
    }
    fn serialize_unit(self) -> Result<(), JcsError> {
        self.put(b"null");
        Ok(())
    }
    fn serialize_unit_struct(self, _: &'static str) -> Result<(), JcsError> {
        self.serialize_unit()
    }
    #[inline]
    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), JcsError> {
        text::write(self.out, variant);
        Ok(())
    }
    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), JcsError> {
        value.serialize(self)
    }
    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), JcsError> {
        self.open_variant(variant)?;
        value.serialize(&mut *self)?;
        self.close_variant();
        Ok(())
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Array<'w, 'o>, JcsError> {
        Array::open(self, false)
    }
    fn serialize_tuple(self, _: usize) -> Result<Array<'w, 'o>, JcsError> {
        Array::open(self, false)
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Array<'w, 'o>, JcsError> {
        Array::open(self, false)
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Array<'w, 'o>, JcsError> {
        self.open_variant(variant)?;
        Array::open(self, true)
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Members<'w, 'o>, JcsError> {
        Members::open(self, false)
    }
    #[inline]
    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Members<'w, 'o>, JcsError> {
        // serde_json smuggles raw text through this name; written as it stands it would not be canonical.
        if name == "$serde_json::private::RawValue" {
            return Err(JcsError::Custom(
                "raw JSON text is not written; parse it first".to_owned(),
            ));
        }
        Members::open(self, false)
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Members<'w, 'o>, JcsError> {
        self.open_variant(variant)?;
        Members::open(self, true)
    }
}

/// What is displayed, as the inside of a string.
struct Escaped<'o>(&'o mut Vec<u8>);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text::write_inner(self.0, text.as_bytes());
        Ok(())
    }
}

// === impl Array ===

#[derive(Debug)]
pub(super) struct Array<'w, 'o> {
    writer: &'w mut Writer<'o>,
    is_first: bool,
    in_variant: bool,
}

impl<'w, 'o> Array<'w, 'o> {
    fn open(writer: &'w mut Writer<'o>, in_variant: bool) -> Result<Self, JcsError> {
        writer.descend()?;
        writer.put(b"[");
        Ok(Self {
            writer,
            is_first: true,
            in_variant,
        })
    }

    #[inline]
    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), JcsError> {
        if !std::mem::take(&mut self.is_first) {
            self.writer.put(b",");
        }
        value.serialize(&mut *self.writer)
    }

    fn close(self) {
        self.writer.put(b"]");
        self.writer.depth -= 1;
        if self.in_variant {
            self.writer.close_variant();
        }
    }
}

impl ser::SerializeSeq for Array<'_, '_> {
    type Ok = ();
    type Error = JcsError;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), JcsError> {
        self.item(value)
    }
    fn end(self) -> Result<(), JcsError> {
        self.close();
        Ok(())
    }
}

impl ser::SerializeTuple for Array<'_, '_> {
    type Ok = ();
    type Error = JcsError;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), JcsError> {
        self.item(value)
    }
    fn end(self) -> Result<(), JcsError> {
        self.close();
        Ok(())
    }
}

impl ser::SerializeTupleStruct for Array<'_, '_> {
    type Ok = ();
    type Error = JcsError;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), JcsError> {
        self.item(value)
    }
    fn end(self) -> Result<(), JcsError> {
        self.close();
        Ok(())
    }
}

impl ser::SerializeTupleVariant for Array<'_, '_> {
    type Ok = ();
    type Error = JcsError;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), JcsError> {
        self.item(value)
    }
    fn end(self) -> Result<(), JcsError> {
        self.close();
        Ok(())
    }
}

// === impl Members ===

#[derive(Debug)]
pub(super) struct Members<'w, 'o> {
    writer: &'w mut Writer<'o>,
    object: Object,
    in_variant: bool,
}

impl<'w, 'o> Members<'w, 'o> {
    #[inline]
    fn open(writer: &'w mut Writer<'o>, in_variant: bool) -> Result<Self, JcsError> {
        writer.descend()?;
        let object = Object::open(writer.out);
        Ok(Self {
            writer,
            object,
            in_variant,
        })
    }

    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "within a struct all names are known, so that comparing them is left to the compiler"
    )]
    fn field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), JcsError> {
        self.object.field(self.writer.out, name)?;
        value.serialize(&mut *self.writer)
    }

    #[inline]
    fn close(self) -> Result<(), JcsError> {
        self.object.close(self.writer.out)?;
        self.writer.depth -= 1;
        if self.in_variant {
            self.writer.close_variant();
        }
        Ok(())
    }
}

impl ser::SerializeMap for Members<'_, '_> {
    type Ok = ();
    type Error = JcsError;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), JcsError> {
        let start = self.object.before_key(self.writer.out);
        key.serialize(KeyWriter { out: self.writer.out })?;
        self.object.after_key(self.writer.out, start)
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), JcsError> {
        value.serialize(&mut *self.writer)
    }
    fn end(self) -> Result<(), JcsError> {
        self.close()
    }
}

impl ser::SerializeStruct for Members<'_, '_> {
    type Ok = ();
    type Error = JcsError;
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "within a struct all names are known, so that comparing them is left to the compiler"
    )]
    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), JcsError> {
        self.field(key, value)
    }
    #[inline]
    fn end(self) -> Result<(), JcsError> {
        self.close()
    }
}

impl ser::SerializeStructVariant for Members<'_, '_> {
    type Ok = ();
    type Error = JcsError;
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "within a struct all names are known, so that comparing them is left to the compiler"
    )]
    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), JcsError> {
        self.field(key, value)
    }
    #[inline]
    fn end(self) -> Result<(), JcsError> {
        self.close()
    }
}

// === impl KeyWriter ===

/// Takes a map key: text or what serialises as text; everything else is refused.
struct KeyWriter<'o> {
    out: &'o mut Vec<u8>,
}

type No = Impossible<(), JcsError>;

/// One refusing method per scalar that is no text.
macro_rules! refuse {
    ($($method:ident: $type:ty),*) => {
        $(fn $method(self, _: $type) -> Result<(), JcsError> { Err(JcsError::KeyNotText) })*
    };
}

impl ser::Serializer for KeyWriter<'_> {
    type Ok = ();
    type Error = JcsError;
    type SerializeSeq = No;
    type SerializeTuple = No;
    type SerializeTupleStruct = No;
    type SerializeTupleVariant = No;
    type SerializeMap = No;
    type SerializeStruct = No;
    type SerializeStructVariant = No;

    refuse!(
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_f32: f32,
        serialize_f64: f64, serialize_bytes: &[u8], serialize_unit_struct: &'static str
    );

    fn serialize_char(self, value: char) -> Result<(), JcsError> {
        text::write(self.out, value.encode_utf8(&mut [0; 4]));
        Ok(())
    }
    fn serialize_str(self, value: &str) -> Result<(), JcsError> {
        text::write(self.out, value);
        Ok(())
    }
    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), JcsError> {
        self.serialize_str(variant)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), JcsError> {
        value.serialize(self)
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), JcsError> {
        value.serialize(self)
    }
    fn serialize_none(self) -> Result<(), JcsError> {
        Err(JcsError::KeyNotText)
    }
    fn serialize_unit(self) -> Result<(), JcsError> {
        Err(JcsError::KeyNotText)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), JcsError> {
        Err(JcsError::KeyNotText)
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<No, JcsError> {
        Err(JcsError::KeyNotText)
    }
    fn serialize_tuple(self, _: usize) -> Result<No, JcsError> {
        Err(JcsError::KeyNotText)
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<No, JcsError> {
        Err(JcsError::KeyNotText)
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<No, JcsError> {
        Err(JcsError::KeyNotText)
    }
    fn serialize_map(self, _: Option<usize>) -> Result<No, JcsError> {
        Err(JcsError::KeyNotText)
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<No, JcsError> {
        Err(JcsError::KeyNotText)
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<No, JcsError> {
        Err(JcsError::KeyNotText)
    }
}
