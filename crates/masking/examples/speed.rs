//! How fast is it? `cargo run --release -p hoop-masking --example speed`
#![expect(clippy::print_stdout, reason = "a tool that prints what it measured")]

use std::time::Instant;

use hoop_masking::{Detectors, Masker, MaskingKey, Mode, Rule, mask_text};

const PLAIN: &str = "the wound was clean and dry with no sign of infection, dressing changed and well tolerated; \
                     lungs clear on both sides, abdomen soft, gait steady, appetite good and sleep fair.\n";
const CLINICAL: &str = "Patient: Maria Gonzalez, DOB 03/04/1975, MRN 00123456. Presents with chest pain for three days, \
                        denies fever. History of hypertension (I10) and type 2 diabetes, E11.9, on metformin 500 mg twice daily.\n\
                        Blood pressure 128/76, heart rate 72, temperature 36.8. Lungs clear, heart regular without murmur, abdomen soft. \
                        Labs on 2024-03-04: sodium 139, potassium 4.1, creatinine 0.9, HbA1c 7.2 %. ECG shows sinus rhythm without change.\n\
                        Plan: continue current medication, recheck in three months. Call (212) 555-0123 or write to m.g@example.org. \
                        Seen by Dr. Okafor, NPI 1234567893. The patient understands and agrees with the plan and will return if worse.\n";

fn main() -> Result<(), hoop_masking::ShortKey> {
    let rule = Rule::new(Mode::Redact, MaskingKey::new(&[5; 32])?);
    let all = Detectors::all();
    // The last is the slowest of the hostile texts in `tests/finds.rs`: anything may begin at each digit.
    for (name, unit) in [("nothing matches", PLAIN), ("clinical text", CLINICAL), ("hostile text", "1 ")] {
        let text = unit.repeat((16 << 20) / unit.len());
        let findings = all.find(text.as_bytes()).len();
        report(&format!("find, {name} ({findings} findings)"), text.len(), || {
            all.find(text.as_bytes()).len()
        });
        report(&format!("mask, {name}"), text.len(), || mask_text(text.as_bytes(), &all, &rule).bytes.len());
        report(&format!("mask in pieces of 8 KiB, {name}"), text.len(), || {
            let mut masker = Masker::new(&all, &rule);
            let pieces: usize = text.as_bytes().chunks(8 << 10).map(|piece| masker.push(piece).len()).sum();
            pieces + masker.finish().len()
        });
    }
    Ok(())
}

/// The best of five: others use the machine too.
fn report(name: &str, bytes: usize, work: impl Fn() -> usize) {
    let best = (0..5).map(|_| {
        let begin = Instant::now();
        std::hint::black_box(work());
        begin.elapsed().as_secs_f64()
    });
    let best = best.fold(f64::INFINITY, f64::min);
    #[expect(clippy::cast_precision_loss, reason = "megabytes")]
    let rate = bytes as f64 / 1e6 / best;
    println!("{rate:7.0} MB/s  {name}");
}
