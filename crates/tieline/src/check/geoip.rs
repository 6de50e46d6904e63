//! Where calls come from: a database that can be read and has countries, and proxies that have something to say.

use tieline_gateway::{DATABASE_BYTES_MAX, GeoDatabase};

use super::checked::GeoipSettings;
use super::{World, kind, value};
use crate::diagnose::{Code, Diagnostic, Sink, shown};
use crate::raw::shape::RawConfig;

/// Ten years.
const AGE_DAYS_MAX: u64 = 3_650;

pub(super) fn check(raw: &RawConfig, world: World<'_>, sink: &mut Sink) -> Option<GeoipSettings> {
    let Some(at) = &raw.geoip else {
        let proxies = raw
            .gateway
            .as_ref()
            .and_then(|at| at.value.trusted_proxies.as_ref());
        if let Some(at) = proxies {
            sink.push(
                Diagnostic::warning(
                    Code::SettingIdle,
                    "`trusted_proxies` has nothing to trust them for",
                )
                .at(at.span, "no address is looked at")
                .hint("name a database of countries: `[geoip]` with `database = \"countries.mmdb\"`"),
            );
        }
        return None;
    };
    let max_age_days = at.value.max_age_days.as_ref();
    let max_age_days =
        max_age_days.map(|at| value::number(Some(at), "max_age_days", 1, 1, AGE_DAYS_MAX, sink));
    let Some(database) = &at.value.database else {
        if !at.value.seen.contains(&"database") {
            sink.push(
                Diagnostic::error(Code::KeyMissing, "`[geoip]` has no `database`")
                    .at(at.span, "wants `database`")
                    .hint("name a file in MaxMind's format: `database = \"countries.mmdb\"`"),
            );
        }
        return None;
    };
    let path = value::path(world.base, &database.value);
    match (world.read)(&path, DATABASE_BYTES_MAX) {
        Ok(bytes) => {
            if let Err(why) = GeoDatabase::open(bytes) {
                sink.push(
                    Diagnostic::error(
                        Code::GeoipBad,
                        format!("`{}` cannot be used", shown(&database.value)),
                    )
                    .at(database.span, format!("it {why}")),
                );
            }
        }
        Err(error) => sink.push(
            Diagnostic::error(
                Code::FileUnreadable,
                format!("`{}` cannot be read", shown(&database.value)),
            )
            .at(database.span, kind(&error))
            .hint("the path is relative to the folder of this file"),
        ),
    }
    Some(GeoipSettings {
        database: path,
        max_age_days,
    })
}
