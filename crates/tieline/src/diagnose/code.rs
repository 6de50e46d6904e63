//! What can be wrong with a configuration: one table gives each code its number, name, title and advice. The error
//! pages are generated from it. Numbers are stable; those of calls (`TL1…` to `TL6…`) are in `tieline_core::Code`.

macro_rules! codes {
    ($($variant:ident $number:literal $name:literal $title:literal $advice:literal)*) => {
        /// A stable code of a mistake in `tieline.toml` or in a scenario.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) enum Code { $($variant,)* }

        impl Code {
            /// Every code, in the order of the table.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The number of its page, such as `TL0101`.
            pub(crate) const fn number(self) -> &'static str {
                match self { $(Self::$variant => $number,)* }
            }

            /// The machine-readable name, such as `file_unreadable`.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it means, in one sentence.
            pub(crate) const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }

            /// What to do about it, in one or two sentences.
            pub(crate) const fn advice(self) -> &'static str {
                match self { $(Self::$variant => $advice,)* }
            }
        }
    };
}

codes! {
    FileUnreadable "TL0101" "file_unreadable" "A file that the configuration needs cannot be read."
        "Check the path, which is relative to the folder of `tieline.toml`, and that this user may read the file."
    FileTooLarge "TL0102" "file_too_large" "The configuration is larger than 4 MiB."
        "Name the right file: the largest grid that tieline accepts fits into a quarter of that."
    FileNotUtf8 "TL0103" "file_not_utf8" "The configuration is not valid UTF-8."
        "Save the file as UTF-8; TOML has no other encoding (TOML 1.1, section Preliminaries)."
    Syntax "TL0104" "syntax" "The configuration or scenario is not valid TOML."
        "Correct the place that the message shows. Names with dots need quotes: `[models.\"gpt-4.1\"]`."
    NameTwice "TL0105" "name_twice" "A key or table is written twice."
        "Keep one of the two. TOML does not say which would count, so neither does."
    KeyUnknown "TL0111" "key_unknown" "A key is not one that tieline knows."
        "Correct the spelling. An unknown key is refused, for a setting that is ignored is worse than one that is missing."
    TypeWrong "TL0112" "type_wrong" "A value has the wrong type."
        "Write the type that the message names."
    KeyMissing "TL0113" "key_missing" "A key that is required is missing."
        "Add the key that the message names."
    NameBad "TL0114" "name_bad" "A name has characters that names cannot have, or is too long."
        "Use 1 to 128 of the characters `A-Z a-z 0-9 . _ : / @ -`."
    OutOfRange "TL0115" "out_of_range" "A number is outside of what the setting allows."
        "Use a number in the range that the message names."
    ChoiceUnknown "TL0116" "choice_unknown" "A word is not one of those that the setting allows."
        "Use one of the words that the message names."
    SettingIdle "TL0117" "setting_idle" "A setting can never take effect."
        "Change it or the one that it collides with; the message names both."
    LabUnknown "TL0121" "lab_unknown" "A model names a lab that the configuration does not have."
        "Add `[labs.<name>]`, or correct the name."
    ModelUnknown "TL0122" "model_unknown" "A channel or pool names a model that the configuration does not have."
        "Add `[models.<name>]`, or correct the name."
    ProviderUnknown "TL0123" "provider_unknown" "A channel names a provider that tieline does not know."
        "Use one that the message lists; `openai-compatible` and `anthropic-compatible` take any server of that dialect."
    DialectWrong "TL0124" "dialect_wrong" "A channel's provider does not speak the dialect."
        "Leave `dialect` out, or use one that the message lists."
    NameShared "TL0125" "name_shared" "A name is both a pool's and a model's."
        "Rename the pool: `model` in a request must mean one thing."
    PoolEmpty "TL0126" "pool_empty" "A pool has no models."
        "List at least one model under `models`."
    ListedTwice "TL0127" "listed_twice" "A list names the same thing twice."
        "Keep one of the two."
    CandidatesTooMany "TL0128" "candidates_too_many" "A pool or model has more candidates than a call may see."
        "A candidate is a model on a channel. Take models or channels away, or split the pool."
    ModelUnserved "TL0129" "model_unserved" "No channel serves a model."
        "Add it to the `models` of a channel, or remove it."
    TooMany "TL0130" "too_many" "The configuration has more of something than a grid can hold."
        "Split the grid over several gateways."
    ComponentBad "TL0131" "component_bad" "A component is not written as `kind:name`."
        "Write it like `cloud:aws` or `region:aws/us-east-1`."
    ComponentUnlike "TL0132" "component_unlike" "A component looks like a misspelling of another."
        "Correct it, or ignore the warning if they are two things."
    ComponentUnused "TL0133" "component_unused" "No channel depends on a component that has an entry."
        "Name it in the `components` of a channel, or remove the entry."
    PriceBad "TL0141" "price_bad" "A price is not a decimal number of USD per million tokens."
        "Write it as a string with at most 6 decimals, such as \"3.00\"."
    PriceListMissing "TL0142" "price_list_missing" "A channel charges the list price of a model that has none."
        "Give the model a `price`, or write the channel's own price, or `\"unknown\"`."
    JurisdictionBad "TL0143" "jurisdiction_bad" "A jurisdiction is not a country code."
        "Use ISO 3166-1 alpha-2 in capitals, such as `US`, `FR` or `CN`."
    FlopBad "TL0144" "flop_bad" "Training compute is not a count of floating-point operations."
        "Write a string such as \"3.8e25\", or \"unknown\"."
    BudgetBad "TL0145" "budget_bad" "A budget is not a decimal number of USD."
        "Write it as a string with at most 9 decimals, such as \"250.00\"."
    AddressBad "TL0151" "address_bad" "A listen address is not `address:port`."
        "Write an IP address and a port, such as `127.0.0.1:8080` or `[::1]:8080`."
    AddressTwice "TL0152" "address_twice" "Both listeners have the same address."
        "Give `admin` another port."
    AddressExposed "TL0153" "address_exposed" "A listener is reachable from other machines without TLS."
        "Listen on 127.0.0.1, or set `tls` under `[gateway]`."
    TlsBad "TL0154" "tls_bad" "A certificate or key file does not hold what it should."
        "Give PEM files: the certificate chain as `cert`, its private key as `key`, authorities as `client_ca`."
    UrlBad "TL0161" "url_bad" "A channel's URL is not one that tieline can call."
        "Write `https://host[:port][/path]`, without credentials, query or fragment."
    CredentialMissing "TL0163" "credential_missing" "A channel's credential is not there."
        "Set it before `tieline serve`. Until then the channel is refused by its operator, and the others carry its load."
    CredentialBad "TL0164" "credential_bad" "A channel's credential is not well described."
        "Write one of `{ env = \"NAME\" }`, `{ file = \"path\" }`, `{ command = \"program arguments\" }`, `{ none = true }`."
    SecretInFile "TL0165" "secret_in_file" "A secret stands in the configuration itself."
        "Move it to the environment or a file, refer to it by `credential = { env = \"NAME\" }`, and replace the secret: \
         configurations are copied, committed and printed."
    CredentialExposed "TL0166" "credential_exposed" "A credential would cross the network in clear text."
        "Use `https://`, or a server on this machine."
    ChannelLoops "TL0167" "channel_loops" "A channel is the gateway itself."
        "Give the channel's `url` or the gateway's `listen` another port."
    ProviderUncarried "TL0168" "provider_uncarried" "The gateway cannot carry calls over this provider."
        "The channel counts in `grid` and `drill`. To carry calls, reach the service in a dialect that tieline speaks."
    PackUnknown "TL0171" "pack_unknown" "A pack's folder is not there or is no pack."
        "Name a folder that holds `pack.toml`; paths are relative to the folder of `tieline.toml`."
    PackBad "TL0172" "pack_bad" "A pack does not hold what a pack should."
        "Correct the place that the message shows: file, line and column in the pack's folder."
    SignerBad "TL0173" "signer_bad" "A key that may sign directives or statements is none, or is named twice."
        "Paste the whole line that `tieline directive key` prints: a name, eight hexadecimal digits and base64, with `+` between."
    EndUseBad "TL0174" "end_use_bad" "An end use is no code that a call could state."
        "Use 1 to 64 of a-z, 0-9, `-`, `_`, `.` and `/`, as the rules that compare it do."
    IdentityBad "TL0175" "identity_bad" "An issuer of tokens about end users is not well described."
        "Correct what the message names. A token is only believed from one issuer, for one audience, by keys from a file or an `https://` URL."
    GeoipBad "TL0176" "geoip_bad" "The database of countries is none that can be used."
        "Name a file in MaxMind's format (`.mmdb`) whose records hold countries, such as a GeoLite2-Country or an ip-location-db one."
    CertificateBad "TL0177" "certificate_bad" "What a client's certificate asserts is not well described."
        "Name one pattern, `spiffe` or `dns`, and the facts that its certificates assert, or the parties with whom they may come."
    ProxyBad "TL0178" "proxy_bad" "A network of trusted proxies is none."
        "Name the networks that your own proxies connect from, such as `10.0.0.0/8`; never all addresses."
    OriginBad "TL0181" "origin_bad" "The ledger's origin is not a name that a signed note can carry."
        "Write a URL without scheme, such as `example.org/tieline`: no spaces, no `+` (C2SP signed-note)."
    CaseBad "TL0221" "case_bad" "A case of a pool test is not well described."
        "Correct what the message names. A case asks one thing, and expects a text, JSON of a schema, a tool that is called, or what a judge says."
    OfferBad "TL0231" "offer_bad" "An offer of a catalogue is not well described."
        "Correct what the message names. An offer adds one channel or raises limits of one, and says what it costs a month, how long it takes, and who says so."
    GridBad "TL0191" "grid_bad" "The grid does not hold together."
        "This is a defect of `tieline check`, which should have said it better. Please report it with the file."
    ScenarioBad "TL0201" "scenario_bad" "A scenario's head is not well described."
        "Give it an id, a title, and for each source an address, what it says and the day on which it was read."
    ScenarioAbsent "TL0202" "scenario_absent" "A scenario names something that is not here."
        "Name what the message lists, choose with `--set`, or leave such events out with `--skip-absent`."
    EventBad "TL0203" "event_bad" "An event of a scenario does not say one thing, or not enough of it."
        "Give each event exactly one of the tables that the message lists, and in it what the message asks for."
    EventBackwards "TL0204" "event_backwards" "An event of a scenario ends before it begins, or at once."
        "Correct `at`, `for` or `until`: an event ends after it begins."
    EventsOverlap "TL0205" "events_overlap" "Two events of a scenario are about the same thing at the same time."
        "End the first before the second begins, or make one event of both."
    ScenarioOutside "TL0206" "scenario_outside" "A scenario lies outside of the traffic that it is laid over."
        "Let it start within the traffic, such as `--start \"first call\"`, or give it traffic of its own time."
    SelectionEmpty "TL0207" "selection_empty" "An event selects nothing: no model, no call, no party."
        "Select what the message lists, or leave the event out."
    TimeBad "TL0208" "time_bad" "A time is neither a length such as `2h52m` nor an instant."
        "Write days, hours, minutes and seconds (`1d2h3m4s`), or an instant such as `2025-10-20T06:48:00Z`."
    FactorBad "TL0209" "factor_bad" "A factor or a share is not a decimal number in its range."
        "Write it with at most three decimals, such as 3, 1.25 or \"0.5\"."
    ParameterBad "TL0210" "parameter_bad" "A parameter of a scenario has no value, or one that cannot stand in the text."
        "Give it with `--set NAME=VALUE`, without quotes or line breaks in the value."
    ScenarioDirective "TL0211" "scenario_directive" "A directive of a scenario cannot be read, or does not follow on the one before."
        "Correct what the message names; versions of one id go up, and a revocation ends what is in force."
}
