//! What one line of the table of settings becomes.

/// A table of settings: documentation, name, type, default, placeholder, variable, and what else
/// clap should know. A line becomes a flag with a variable and a key of the file in [`Settings`],
/// and a value with its origin in [`Config`]: an `Option` where there is no default.
///
/// [`Settings`]: super::Settings
/// [`Config`]: super::Config
macro_rules! settings {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident: $type:ty $(= $default:literal)?, $placeholder:literal, $variable:literal
        $(, [$($clap:tt)+])?;
    )+) => {
        /// What may be set. Everything is optional here; [`Settings::resolve`] knows the defaults.
        #[derive(Debug, Clone, Default, clap::Args, serde::Deserialize)]
        #[serde(rename_all = "kebab-case", deny_unknown_fields)]
        pub struct Settings { $(
            $(#[doc = $doc])+
            #[arg(
                long,
                value_name = $placeholder,
                env = $variable,
                help = concat!($($doc,)+ $(" [default: ", $default, "]")?).trim_start()
                $(, $($clap)+)?
            )]
            pub $name: Option<$type>,
        )+ }

        /// The settings that hold.
        #[derive(Debug, Clone)]
        pub struct Config { $(
            $(#[doc = $doc])+
            pub $name: settings!(@held $type $(, $default)?),
        )+ }

        impl Settings {
            /// Every setting by its name in the program.
            const NAMES: &[&str] = &[$(stringify!($name)),+];

            /// Takes each setting from where it is given first, with a row that tells where.
            fn hold(given: Given, file: FileSettings) -> anyhow::Result<(Config, Vec<Row>)> {
                let mut rows = Vec::with_capacity(Self::NAMES.len());
                $(
                    let mut row = Row::new(stringify!($name));
                    let value = match (given.settings.$name, file.settings.$name) {
                        (Some(value), _) => {
                            row.origin = given.origins.of(stringify!($name), $variable);
                            Some(value)
                        }
                        (None, Some(value)) => {
                            row.origin = Origin::File(file.name.clone());
                            Some(value)
                        }
                        (None, None) => None,
                    };
                    let $name = settings!(@hold value, $type $(, $default)?);
                    row.value = Shown::shown(&$name);
                    rows.push(row);
                )+
                Ok((Config { $($name),+ }, rows))
            }
        }
    };
    (@held $type:ty) => { Option<$type> };
    (@held $type:ty, $default:literal) => { $type };
    (@hold $value:ident, $type:ty) => { $value };
    (@hold $value:ident, $type:ty, $default:literal) => {
        match $value {
            Some(value) => value,
            None => $default.parse::<$type>()?,
        }
    };
}
