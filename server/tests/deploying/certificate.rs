//! Certificates that nobody has signed but they themselves, made by OpenSSL.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn run(command: &mut Command) {
    let output = command.output().expect("openssl is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A certificate and its key.
pub(crate) struct Certificate {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Certificate {
    /// Makes one for some names, over what `name.pem` and `name.key` had before. It holds for so many days, from now on.
    pub(crate) fn make(folder: &Path, name: &str, hosts: &[&str], days: u32) -> Self {
        let made =
            Self { certificate: folder.join(format!("{name}.pem")), key: folder.join(format!("{name}.key")) };
        let names: Vec<_> = hosts.iter().map(|host| format!("DNS:{host}")).collect();
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
        command.args(["-subj", &format!("/CN={}", hosts[0]), "-days", &days.to_string()]);
        command.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        command.args(["-addext", &format!("subjectAltName={}", names.join(","))]);
        command.arg("-keyout").arg(&made.key).arg("-out").arg(&made.certificate);
        run(&mut command);
        made
    }

    /// Makes one whose time was over in 2021.
    pub(crate) fn make_expired(folder: &Path, name: &str, host: &str) -> Self {
        let made = Self::make(folder, name, &[host], 30);
        // Only what works as an authority chooses the times.
        let config = format!(
            "[ca]\ndefault_ca = own\n[own]\ndatabase = {0}/index\nnew_certs_dir = {0}\nrand_serial = yes\n\
             default_md = sha256\npolicy = names\ncopy_extensions = copy\n[names]\ncommonName = supplied\n",
            folder.display()
        );
        let [config_path, asked] = ["ca.cnf", "asked.csr"].map(|file| folder.join(file));
        fs::write(&config_path, config).expect("it is written");
        fs::write(folder.join("index"), "").expect("it is written");
        let mut command = Command::new("openssl");
        command.args(["req", "-new", "-subj", &format!("/CN={host}")]);
        command.args(["-addext", &format!("subjectAltName=DNS:{host}")]);
        run(command.arg("-key").arg(&made.key).arg("-out").arg(&asked));
        let mut command = Command::new("openssl");
        command.args(["ca", "-batch", "-selfsign", "-notext", "-rand_serial"]);
        command.args(["-startdate", "20200101000000Z", "-enddate", "20210101000000Z", "-config"]);
        command.arg(&config_path).arg("-keyfile").arg(&made.key).arg("-in").arg(&asked);
        run(command.arg("-out").arg(&made.certificate));
        made
    }

    /// Both in one file.
    pub(crate) fn joined(&self) -> String {
        let text = |path| fs::read_to_string(path).expect("it was made");
        text(&self.certificate) + &text(&self.key)
    }
}
