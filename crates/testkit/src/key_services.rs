//! Key services for tests. No Vault or OpenBao can be had from a registry, so its transit engine is a double with real RSA;
//! so is the decryption of AWS KMS, since `moto`'s KMS decrypts nothing that was encrypted outside it.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

use crate::{
    daemon::{Daemon, wait_until},
    python::moto_packages,
    run, run_with_input,
};

const SCRIPT: &str = include_str!("key_services.py");
const VAULT_TOKEN: &str = "hvs.canary-vault-token";
const ACCESS_KEY: &str = "AKIACANARYACCESSKEY0";
const SECRET_KEY: &str = "canary-aws-secret-key";
const REGION: &str = "eu-central-1";

/// The double: Vault transit and AWS KMS on one port.
pub struct KeyServices {
    daemon: Daemon,
    port: u16,
}

impl KeyServices {
    pub fn start(folder: &Path) -> Self {
        let script = folder.join("key_services.py");
        fs::write(&script, SCRIPT).unwrap();
        let mut python = Command::new("python3");
        python.env("PYTHONPATH", moto_packages()).arg(&script);
        python.args([VAULT_TOKEN, ACCESS_KEY, SECRET_KEY, REGION]);
        let daemon = Daemon::start("key-services", folder, &mut python);
        let port = wait_until("the key services' port", || {
            daemon.log().split("ready on ").nth(1)?.split(' ').next()?.parse().ok()
        });
        Self { daemon, port }
    }

    /// It answers nobody any more.
    pub fn stop(&mut self) {
        self.daemon.kill();
    }

    /// Environment of a gateway whose recording key is in Vault.
    pub fn vault(&self) -> Vec<(&'static str, String)> {
        let set = |name, value: &str| (name, value.to_owned());
        vec![
            set("HOOP_GATEWAY_KEYS_RECORDING", "vault"),
            ("HOOP_GATEWAY_KEYS_VAULT_ADDRESS", format!("http://127.0.0.1:{}", self.port)),
            set("HOOP_GATEWAY_KEYS_VAULT_KEY", "hoop"),
            set("HOOP_GATEWAY_KEYS_VAULT_NAMESPACE", "clinic"),
            set("HOOP_GATEWAY_KEYS_VAULT_TOKEN", "env:CLINIC_VAULT_TOKEN"),
            set("CLINIC_VAULT_TOKEN", VAULT_TOKEN),
        ]
    }

    /// Environment of a gateway whose recording key is in AWS KMS.
    pub fn kms(&self, key: &str) -> Vec<(&'static str, String)> {
        kms(self.port, key)
    }

    /// `sealed`, `denied`, `hangs`, `min_decryption_version`.
    pub fn set(&self, what: Value) {
        self.control("set", &what);
    }

    /// Somebody rotates the key in Vault.
    pub fn new_vault_version(&self) {
        self.control("vault-version", &json!({}));
    }

    /// Somebody puts another key into Vault under the same version.
    pub fn replace_vault_key(&self) {
        self.control("vault-replace", &json!({}));
    }

    /// Another key in KMS: its ARN.
    pub fn new_kms_key(&self) -> String {
        self.control("kms-key", &json!({}));
        self.arns().pop().unwrap()
    }

    /// The keys in KMS.
    pub fn arns(&self) -> Vec<String> {
        serde_json::from_value(self.control("look", &json!({}))["arns"].clone()).unwrap()
    }

    /// What was asked of it so far.
    pub fn calls(&self) -> Vec<String> {
        serde_json::from_value(self.control("look", &json!({}))["calls"].clone()).unwrap()
    }

    fn control(&self, what: &str, body: &Value) -> Value {
        let url = format!("http://127.0.0.1:{}/control/{what}", self.port);
        let mut curl = Command::new("curl");
        let answer = run_with_input(curl.args(["-sf", "--data-binary", "@-", &url]), &body.to_string());
        serde_json::from_str(&answer).unwrap()
    }
}

fn kms(port: u16, key: &str) -> Vec<(&'static str, String)> {
    let set = |name, value: &str| (name, value.to_owned());
    vec![
        set("HOOP_GATEWAY_KEYS_RECORDING", "aws-kms"),
        set("HOOP_GATEWAY_KEYS_AWS_KEY", key),
        set("HOOP_GATEWAY_KEYS_AWS_REGION", REGION),
        ("HOOP_GATEWAY_KEYS_AWS_ENDPOINT", format!("http://127.0.0.1:{port}")),
        set("AWS_ACCESS_KEY_ID", ACCESS_KEY),
        set("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
    ]
}

/// `moto` in server mode: a KMS that makes keys and hands out their public halves.
pub struct Moto {
    _daemon: Daemon,
    port: u16,
}

impl Moto {
    pub fn start(folder: &Path) -> Self {
        let port = crate::free_port();
        let mut python = Command::new("python3");
        python.env("PYTHONPATH", moto_packages()).args(["-m", "moto.server", "-p", &port.to_string()]);
        let daemon = Daemon::start("moto", folder, &mut python);
        wait_until("moto's port", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        Self { _daemon: daemon, port }
    }

    /// Makes an asymmetric key: its ARN.
    pub fn key(&self, spec: &str, usage: &str) -> String {
        let body = json!({ "KeySpec": spec, "KeyUsage": usage }).to_string();
        let authorization = format!(
            "Authorization: AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20261128/{REGION}/kms/aws4_request, SignedHeaders=host, Signature=0"
        );
        let url = format!("http://127.0.0.1:{}/", self.port);
        let mut curl = Command::new("curl");
        curl.args(["-sf", "-H", &authorization, "-H", "X-Amz-Target: TrentService.CreateKey"]);
        curl.args(["-H", "Content-Type: application/x-amz-json-1.1", "-d", &body, &url]);
        let made: Value = serde_json::from_str(&run(&mut curl)).unwrap();
        made["KeyMetadata"]["Arn"].as_str().unwrap().to_owned()
    }

    /// Environment of a gateway that uses one of its keys.
    pub fn kms(&self, key: &str) -> Vec<(&'static str, String)> {
        kms(self.port, key)
    }
}
