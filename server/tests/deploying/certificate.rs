//! Certificates that nobody has signed but they themselves, made by OpenSSL.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A certificate and its key.
pub(crate) struct Certificate {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Certificate {
    /// Makes one for some names, over what `name.pem` and `name.key` had before. It holds for so many days, from now on.
    pub(crate) fn make(folder: &Path, name: &str, hosts: &[&str], days: i32) -> Self {
        let made =
            Self { certificate: folder.join(format!("{name}.pem")), key: folder.join(format!("{name}.key")) };
        let names: Vec<_> = hosts.iter().map(|host| format!("DNS:{host}")).collect();
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
        command.args(["-subj", &format!("/CN={}", hosts[0]), "-days", &days.to_string()]);
        command.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        command.args(["-addext", &format!("subjectAltName={}", names.join(","))]);
        command.arg("-keyout").arg(&made.key).arg("-out").arg(&made.certificate);
        let output = command.output().expect("openssl is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        made
    }

    /// Both in one file.
    pub(crate) fn joined(&self) -> String {
        let text = |path| fs::read_to_string(path).expect("it was made");
        text(&self.certificate) + &text(&self.key)
    }
}
