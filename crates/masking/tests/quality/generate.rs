//! Writes clinical-style lines with labels: `[[kind|value]]` is a value of that kind, everything else is none. Every
//! person, number and address is invented. The two parts share neither templates nor names.

/// One of the two parts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// What the detectors were written against.
    Seen,
    /// What they were not.
    HeldOut,
}

const SEEN: &[&str] = &[
    "Patient: {name}, DOB {dob}, MRN {mrn}. Presents with chest pain for {n} days.",
    "{name} is a {n} year old woman with {icd} and no known allergies.",
    "Seen by Dr. {last} on {date}, plan unchanged.",
    "SSN {ssn} verified at the front desk by {name}.",
    "social security number: {ssn9}; card on file {card}.",
    "Please call {phone} or write to {email} before the visit.",
    "Emergency contact: {name}, phone {phone}, lives at {address}.",
    "Referred by Dr. {last}, NPI {npi}, fax {phone}.",
    "Lives at {address}, came by ambulance.",
    "Mailing address: {pobox}.",
    "ZIP {zip}, county unknown.",
    "Moved from {town}, {statezip} in 20{n2}.",
    "Diagnosis: {icd}, {icdbare}; continue metformin {n} mg.",
    "ICD-10 {icdbare} coded at discharge.",
    "Born {dob}, admitted {date}, discharged {date}.",
    "date of birth: {dob} / medical record number {mrn}",
    "Billing account {iban} was refused by the bank.",
    "Charged {card} for the copay of ${n}.00.",
    "Portal login from {ip} at 0{d}:{n2}:{n2}.",
    "See {url} for the discharge leaflet.",
    "db password={secret} was found in the note, rotate it.",
    "export AWS_ACCESS_KEY_ID={aws}",
    "token: {token} expires soon",
    "Mr. {last} tolerated the procedure well.",
    "Mrs. {name} was seen with her husband {first}.",
    "Signed: {name}, RN",
    "{lastfirst} MRN: {mrn} room {n}",
    "Geburtsdatum: {dobde}, Patient {name}, Tel. {phone}",
    "Text {phone} to confirm; email {email}.",
    "{{\"name\": \"{name}\", \"dob\": \"{dob}\", \"ssn\": \"{ssn}\"}}",
    "Insurance subscriber {name}, member since {date}.",
    "Vitamin B12 deficiency, level {n} pg/mL, started injections.",
    "Upgraded the pump to firmware version 10.{d}.{d}.{d} on {date}.",
    "Order {n10} shipped in lot {n6}, part no 800-555-{n4}.",
    "Event {uuid} logged at {stamp}.",
    "BP 1{n2}/{n2}, HR {n2}, temp 36.{d}, SpO2 9{d} %.",
    "Patient denies fever, chills and night sweats; exam unchanged.",
    "Potassium 4.{d}, sodium 13{d}, creatinine 0.{d}, HbA1c 7.{d} %.",
    "L4-L5 disc with T12 compression, follow with MRI in {n} weeks.",
    "H1N1 vaccine given in the left arm, lot {n6}.",
    "Reviewed with Cardiology; Heart rate and Blood Pressure stable.",
    "Transferred to St. James Hospital for Parkinson's disease care.",
    "Take {d} tablets every {n} hours, not more than 4.{d} g a day.",
    "epoch {epoch} in the export, batch {n9}.",
    "The password must be changed at the next visit.",
    "Chart version v2.{d}.{n}, schema 12.{d}.",
    "Dressing changed, wound clean and dry, patient resting.",
    "Invoice total ${n4}.50, reference 4111-{n4}.",
    "Room B12.{d} is closed until {date}.",
];

const HELD_OUT: &[&str] = &[
    "Telephone encounter with {name} ({phone}) regarding refill.",
    "{name}, born on {dob}, was brought in by his wife {name}.",
    "HPI: Ms. {last} returns for follow-up of {icd}.",
    "Pt {name} (DOB: {dob}) asks that results go to {email}.",
    "Attending: {name}, MD. NPI: {npi}.",
    "The claim lists SSN# {ssn} and Visa {card}.",
    "His social is {ssn9}, per the intake form.",
    "Chart no. {mrn} was merged with MRN# {mrn}.",
    "Home: {address}. Cell {phone}.",
    "She moved to {address} last spring.",
    "Send the brace to {town}, {statezip}.",
    "Postal code {zip} is outside of our area.",
    "Dx codes {icdbare}, {icd} and {icd} were submitted.",
    "Assessment: {icd} improving, taper prednisone to {n} mg.",
    "Birthdate {dob}; weight {n} kg; height 1{n2} cm.",
    "Refund went to IBAN {iban}.",
    "Failed sign-in by {email} from {ip}.",
    "Video link {url} sent to {first}.",
    "curl -H 'Authorization: Bearer {token}' {url}",
    "passwd: {secret}",
    "aws key {aws} leaked into the ticket",
    "DISCHARGE SUMMARY FOR {caps} MRN {mrn}",
    "Thank you for seeing {name} in your clinic.",
    "I spoke with Prof. {last} about the biopsy.",
    "Daughter {name} can be reached on {intl}.",
    "Name: {name}; ZIP: {zip}; phone: {phone10}",
    "Mother's name {name}, father unknown.",
    "{first} reports better sleep and less pain.",
    "{lastfirst} | {dob} | {ssn}",
    "Started vitamin D3 {n} units, B12 shots stopped.",
    "Serial {n10} of the insulin pump, model 780.{d}.",
    "Ticket {n9}, build 4.{d}.{n}.{d}, closed {stamp}.",
    "Catalog number 212-555-{n4}-X replaced.",
    "Correlation id {uuid}.",
    "Fracture at C5-C6, Glasgow Coma Scale 1{d}.",
    "Given 1{n2} mL at {n2}:{n2}, then {d}.{d} mg/h.",
    "Physical Therapy and Social Work were consulted.",
    "Grade 3 tumor, stage T2N1M0, ER positive.",
    "May discharge in the morning if pain is under control.",
    "Hodgkin lymphoma in remission since 20{n2}.",
    "Next visit {date}, fasting labs one week before.",
    "Accession {n6}-{n2}, tracking number {n16}.",
    "WBC 7.{d}, Hgb 13.{d}, platelets 2{n2}.",
    "Access token count was {n} per user.",
];

const FIRST: [&[&str]; 2] = [
    &[
        "Maria",
        "James",
        "Linda",
        "Robert",
        "Aisha",
        "Carlos",
        "Wei",
        "Priya",
        "Thomas",
        "Dorothy",
        "Kevin",
        "Angela",
        "Ingeborg",
        "Tadeusz",
        "Oluwaseun",
        "Mirela",
        "Kwabena",
        "Thandeka",
        "Bartholomew",
        "Saoirse",
    ],
    &[
        "Patricia", "Michael", "Susan", "David", "Fatima", "Luis", "Yuki", "Anil", "Richard", "Helen",
        "Brian", "Nicole", "Solveig", "Zbigniew", "Chinedu", "Ioana", "Kofi", "Nomvula", "Thaddeus", "Niamh",
    ],
];

const LAST: [&[&str]; 2] = [
    &[
        "Gonzalez",
        "Smith",
        "Johnson",
        "Nguyen",
        "Patel",
        "Okafor",
        "Schneider",
        "O'Brien",
        "Walker",
        "Kowalski",
        "Quellbrook",
        "Vantongeren",
        "Szczepaniak",
        "Mbeki-Jones",
        "Thistlewood",
        "Amarasinghe",
        "Brzezinski",
        "Featherstone",
    ],
    &[
        "Martinez",
        "Williams",
        "Brown",
        "Tran",
        "Sharma",
        "Mensah",
        "Fischer",
        "O'Connor",
        "Harris",
        "Nowak",
        "Ashgrove",
        "Lindqvist-Hale",
        "Wojciechowski",
        "Ndlovu",
        "Penhaligon",
        "Jayawardena",
        "Hrdlicka",
        "Butterworth",
    ],
];

const TOWNS: [&[&str]; 2] = [
    &["Springfield", "New Haven", "Boston", "El Paso", "Ann Arbor"],
    &["Dayton", "Santa Fe", "Portland", "Baton Rouge", "Duluth"],
];
const STREETS: [&[&str]; 2] = [
    &["Main St", "Oak Avenue", "N Elm Street", "5th Ave", "Willow Creek Road", "Sunset Blvd", "Park Lane"],
    &[
        "Maple Drive",
        "S Cedar Ct",
        "Washington Street",
        "22nd St",
        "Old Mill Rd",
        "Lakeview Terrace",
        "Birch Way",
    ],
];
const STATES: &[&str] = &["MA", "CT", "TX", "MI", "IL", "OH", "NM", "LA", "MN", "CA"];
const CODES: &[&str] = &[
    "E11.9", "I25.10", "J45.909", "M54.50", "S72.001A", "Z79.4", "F32.1", "K21.9", "C50.911", "O09.90",
    "N18.30", "G43.709",
];
const BARE: &[&str] = &["I10", "J45", "E119", "R05", "N186", "I2510", "Z23", "M545"];
const MONTHS: &[&str] = &[
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The lines of a part.
pub(crate) fn lines(part: Part, count: usize) -> Vec<String> {
    let templates = if part == Part::Seen { SEEN } else { HELD_OUT };
    let mut writer = Writer { state: if part == Part::Seen { 0x5eed } else { 0x00dd_ba11 }, part };
    (0..count).map(|line| writer.fill(templates[line % templates.len()])).collect()
}

struct Writer {
    state: u64,
    part: Part,
}

impl Writer {
    /// splitmix64
    fn below(&mut self, end: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap()
    }

    fn pick(&mut self, list: &[&'static str]) -> &'static str {
        list[self.below(list.len())]
    }

    fn own(&mut self, lists: [&[&'static str]; 2]) -> &'static str {
        self.pick(lists[usize::from(self.part == Part::HeldOut)])
    }

    fn digits(&mut self, count: usize) -> String {
        (0..count).map(|_| char::from(b'0' + u8::try_from(self.below(10)).unwrap())).collect()
    }

    fn chars(&mut self, alphabet: &str, count: usize) -> String {
        (0..count).map(|_| char::from(alphabet.as_bytes()[self.below(alphabet.len())])).collect()
    }

    fn fill(&mut self, template: &str) -> String {
        let template = template.replace("{{", "\u{1}").replace("}}", "\u{2}");
        let mut line = String::new();
        let mut rest = template.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            let (slot, behind) = after.split_once('}').unwrap();
            line += before;
            line += &self.slot(slot);
            rest = behind;
        }
        line += rest;
        line.replace('\u{1}', "{").replace('\u{2}', "}")
    }

    fn slot(&mut self, slot: &str) -> String {
        let label = |kind: &str, value: &str| format!("[[{kind}|{value}]]");
        match slot {
            "name" => label("name", &self.name()),
            "first" => label("name", self.own(FIRST)),
            "last" => label("name", self.own(LAST)),
            "caps" => label("name", &self.name().to_uppercase()),
            "lastfirst" => label("name", &format!("{}, {}", self.own(LAST), self.own(FIRST))),
            "dob" => label("birth_date", &self.date(1930, 80)),
            "dobde" => label(
                "birth_date",
                &format!("{:02}.{:02}.19{:02}", 1 + self.below(28), 1 + self.below(12), 30 + self.below(60)),
            ),
            "date" => self.date(2015, 10),
            "mrn" => label("mrn", &self.record()),
            "ssn" => label("ssn", &self.ssn("-")),
            "ssn9" => {
                let separator = self.pick(&["", " ", "-"]);
                label("ssn", &self.ssn(separator))
            }
            "phone" => label("phone", &self.phone()),
            "phone10" => label("phone", &self.national("")),
            "intl" => {
                let digits = self.digits(8);
                label("phone", &format!("+44 20 {} {}", &digits[..4], &digits[4..]))
            }
            "email" => label("email", &self.email()),
            "npi" => label("npi", &self.npi()),
            "address" => label("address", &self.address()),
            "town" => self.own(TOWNS).to_owned(),
            "pobox" => {
                let box_number = self.digits(3);
                label(
                    "address",
                    &format!(
                        "PO Box 4{box_number}, {}, {} {}",
                        self.own(TOWNS),
                        self.pick(STATES),
                        self.zip()
                    ),
                )
            }
            "zip" => label("zip", &self.zip()),
            "statezip" => format!("{} {}", self.pick(STATES), label("zip", &self.zip())),
            "icd" => label("icd10", self.pick(CODES)),
            "icdbare" => label("icd10", self.pick(BARE)),
            "card" => label("card", &self.card()),
            "iban" => label("iban", &self.iban()),
            "ip" => label("ip_address", &self.address_of_host()),
            "url" => {
                let path = self.chars("abcdefghij-/", 12);
                label("url", &format!("https://portal.example.org/p{path}{}?id=7", self.below(90)))
            }
            "secret" => label(
                "secret",
                &format!("{}{}!", self.chars("abcdefghkmnpqrstuvwxyzABCDEFGH", 7), self.digits(3)),
            ),
            "aws" => label("secret", &format!("AKIA{}", self.chars("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16))),
            "token" => self.token(),
            "uuid" => {
                let hex = self.chars("0123456789abcdef", 32);
                format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[12..15], &hex[15..18], &hex[18..30])
            }
            "stamp" => format!(
                "2024-0{}-1{}T1{}:{}:0{}Z",
                1 + self.below(9),
                self.below(9),
                self.below(9),
                10 + self.below(49),
                self.below(9)
            ),
            "epoch" => format!("17{}", self.digits(8)),
            "d" => self.digits(1),
            "n" => (3 + self.below(90)).to_string(),
            digits => {
                let count = digits.strip_prefix('n').unwrap().parse::<usize>().unwrap();
                format!("{}{}", 1 + self.below(9), self.digits(count - 1))
            }
        }
    }

    fn name(&mut self) -> String {
        let (first, last) = (self.own(FIRST), self.own(LAST));
        if self.below(4) == 0 {
            format!("{first} {}. {last}", self.chars("ABCDEFGHJKLMRST", 1))
        } else {
            format!("{first} {last}")
        }
    }

    fn date(&mut self, from: usize, years: usize) -> String {
        let (year, month, day) = (from + self.below(years), 1 + self.below(12), 1 + self.below(28));
        match self.below(if self.part == Part::Seen { 4 } else { 6 }) {
            0 => format!("{year}-{month:02}-{day:02}"),
            1 => format!("{month:02}/{day:02}/{year}"),
            2 => format!("{month}/{day}/{:02}", year % 100),
            3 => format!("{} {day}, {year}", MONTHS[month - 1]),
            4 => format!("{day} {} {year}", &MONTHS[month - 1][..3]),
            _ => format!("{day:02}-{}-{year}", &MONTHS[month - 1][..3]),
        }
    }

    fn record(&mut self) -> String {
        match self.below(4) {
            0 => format!("00{}", self.digits(6)),
            1 => self.digits(7),
            2 => format!("{}{}", self.chars("ABCDEH", 1), self.digits(7)),
            _ => format!("{}-{}", self.digits(3), self.digits(5)),
        }
    }

    fn ssn(&mut self, separator: &str) -> String {
        let area = 100 + self.below(500);
        format!("{area}{separator}{:02}{separator}{:04}", 1 + self.below(99), 1 + self.below(9999))
    }

    fn national(&mut self, separator: &str) -> String {
        let area = self.pick(&["212", "617", "415", "305", "734", "512"]);
        format!(
            "{area}{separator}{}{}{separator}{}",
            2 + self.below(8),
            self.pick(&["02", "55", "38", "71"]),
            self.digits(4)
        )
    }

    fn phone(&mut self) -> String {
        match self.below(6) {
            0 | 1 => self.national("-"),
            2 => self.national("."),
            3 => format!("+1 {}", self.national(" ")),
            4 => format!("1-{}", self.national("-")),
            _ => {
                let dashed = self.national("-");
                format!("({}) {}", &dashed[..3], &dashed[4..])
            }
        }
    }

    fn email(&mut self) -> String {
        let (first, last) = (self.own(FIRST).to_lowercase(), self.own(LAST).to_lowercase().replace('\'', ""));
        match self.below(3) {
            0 => format!("{first}.{last}@example.org"),
            1 => format!("{first}{}@mail.example.com", self.below(99)),
            _ => format!("{last}+portal@clinic-{first}.example"),
        }
    }

    fn npi(&mut self) -> String {
        let body = format!("1{}", self.digits(8));
        (0..10).map(|check| format!("{body}{check}")).find(|number| luhn(&format!("80840{number}"))).unwrap()
    }

    fn card(&mut self) -> String {
        let body = format!("{}{}", self.pick(&["4", "51", "53", "6011"]), self.digits(14));
        let number =
            (0..10).map(|check| format!("{}{check}", &body[..15])).find(|number| luhn(number)).unwrap();
        let separator = self.pick(&["", " ", "-"]);
        [&number[..4], &number[4..8], &number[8..12], &number[12..]].join(separator)
    }

    fn iban(&mut self) -> String {
        let account = self.digits(18);
        let rest = format!("{account}131400")
            .bytes()
            .fold(0_u32, |rest, digit| (rest * 10 + u32::from(digit - b'0')) % 97);
        let code = format!("DE{:02}{account}", 98 - rest);
        if self.below(2) == 0 {
            return code;
        }
        code.as_bytes()
            .chunks(4)
            .map(|group| std::str::from_utf8(group).unwrap())
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn zip(&mut self) -> String {
        let five = self.digits(5);
        if self.below(3) == 0 { format!("{five}-{}", self.digits(4)) } else { five }
    }

    fn address(&mut self) -> String {
        let street = format!("{} {}", 1 + self.below(9000), self.own(STREETS));
        let street =
            if self.below(3) == 0 { format!("{street}, Apt {}B", 1 + self.below(40)) } else { street };
        if self.below(2) == 0 {
            format!("{street}, {}, {} {}", self.own(TOWNS), self.pick(STATES), self.zip())
        } else {
            street
        }
    }

    fn address_of_host(&mut self) -> String {
        if self.below(4) == 0 {
            return format!(
                "2001:db8:{}::{}",
                self.chars("123456789abcdef", 4),
                self.chars("123456789abcdef", 3)
            );
        }
        format!("{}.{}.{}.{}", 11 + self.below(180), self.below(255), self.below(255), 1 + self.below(250))
    }

    fn token(&mut self) -> String {
        let alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
        let value = match self.below(3) {
            0 => format!("ghp_{}", self.chars(alphabet, 36)),
            1 => format!(
                "eyJ{}.eyJ{}.{}",
                self.chars(alphabet, 20),
                self.chars(alphabet, 30),
                self.chars(alphabet, 43)
            ),
            _ => self.chars(alphabet, 32),
        };
        format!("[[secret|{value}]]")
    }
}

fn luhn(number: &str) -> bool {
    let digits = number.bytes().rev().map(|byte| u32::from(byte - b'0')).enumerate();
    let sum: u32 = digits
        .map(|(place, digit)| if place % 2 == 1 { digit * 2 / 10 + digit * 2 % 10 } else { digit })
        .sum();
    sum.is_multiple_of(10)
}
