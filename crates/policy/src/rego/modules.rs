//! The modules of a rule file: bounded, compiled when they are read, asked within a time.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fmt,
    num::{NonZeroU32, NonZeroUsize},
    panic::{self, AssertUnwindSafe},
    sync::Arc,
    time::Duration,
};

use hoop_model::{NameError, RuleName};
use regorus::{Engine, LimitError, PolicyLengthConfig, Value, utils::limits::ExecutionTimerConfig};
use serde::{Deserialize, Serialize};

use super::{
    guard,
    when::{Answer, When},
};

/// How long one evaluation may take.
pub const TIME: Duration = Duration::from_millis(10);
/// Bytes of one module.
const LONGEST: usize = 64 * 1024;
/// Bytes of all modules of a file.
const LONGEST_TOGETHER: usize = 256 * 1024;
/// Modules of a file.
const MOST: usize = 64;
/// Rules in all modules: each that asks for the next is a step deeper.
const MOST_RULES: usize = 1_000;
/// Room for the deepest that fits into [`TIME`]. Only what is touched of it takes memory.
const STACK: usize = 128 * 1024 * 1024;
/// Steps between two looks at the time.
const STEPS: NonZeroU32 = NonZeroU32::new(16).unwrap();

/// Functions that are refused when called, and the number of their arguments: they make much out of little, print, or answer
/// differently each time.
const REFUSED: [(&str, u8); 22] = [
    ("bits.lsh", 2),
    ("concat", 2),
    ("format_int", 2),
    ("json.is_valid", 1),
    ("json.marshal", 1),
    ("json.marshal_with_options", 2),
    ("json.unmarshal", 1),
    ("net.cidr_expand", 1),
    ("numbers.range", 2),
    ("numbers.range_step", 3),
    ("print", 1),
    ("product", 1),
    ("rand.intn", 2),
    ("regex.replace", 3),
    ("replace", 3),
    ("sprintf", 2),
    ("strings.replace_n", 2),
    ("to_number", 1),
    ("trace", 1),
    ("units.parse", 1),
    ("units.parse_bytes", 1),
    ("walk", 1),
];

/// What a module is called in messages: as a rule is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ModuleName(RuleName);

impl ModuleName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`NameError`] says what a name may be.
    pub fn new(name: &str) -> Result<Self, NameError> {
        RuleName::new(name).map(Self)
    }
}

impl fmt::Display for ModuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

/// Why modules cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModuleError {
    /// More than are compiled.
    #[error("`modules` has {found} {what}: at most {most} are allowed")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// The most.
        most: usize,
    },
    /// One that is too long.
    #[error("module {module} has {bytes} bytes: at most {LONGEST} are allowed")]
    TooLong {
        /// Which.
        module: ModuleName,
        /// Its length.
        bytes: usize,
    },
    /// One that is not Rego, or not as it may be.
    #[error("module {module}, line {line}: {message}")]
    Unusable {
        /// Which.
        module: ModuleName,
        /// Where in it.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// All together are no program.
    #[error("`modules` cannot be compiled: {0}")]
    Together(String),
}

impl ModuleError {
    /// How many lines of its module stand before what is wrong.
    pub(crate) fn lines_before(&self) -> u64 {
        match self {
            Self::Unusable { line, .. } => u64::try_from(line.saturating_sub(1)).unwrap_or(0),
            Self::TooLong { .. } | Self::TooMany { .. } | Self::Together(_) => 0,
        }
    }

    /// Which module it is about, if it is about one.
    #[must_use]
    pub const fn module(&self) -> Option<&ModuleName> {
        match self {
            Self::TooLong { module, .. } | Self::Unusable { module, .. } => Some(module),
            Self::TooMany { .. } | Self::Together(_) => None,
        }
    }
}

/// The modules of a rule file, compiled. Equal if their sources are.
#[derive(Clone, Default)]
pub struct Modules {
    sources: BTreeMap<ModuleName, String>,
    /// None if there are no modules.
    engine: Option<Arc<Engine>>,
}

impl PartialEq for Modules {
    fn eq(&self, other: &Self) -> bool {
        self.sources == other.sources
    }
}

impl Eq for Modules {}

impl fmt::Debug for Modules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Modules").field(&self.sources).finish()
    }
}

impl Modules {
    /// Compiles.
    ///
    /// # Errors
    /// [`ModuleError`] names the module and the line.
    pub fn compile(sources: BTreeMap<ModuleName, String>) -> Result<Self, ModuleError> {
        if sources.is_empty() {
            return Ok(Self::default());
        }
        bounded(&sources)?;
        let engine = on_a_stack(|| compile(&sources))
            .unwrap_or_else(|| Err(ModuleError::Together("the compiler broke off".to_owned())))?;
        Ok(Self { sources, engine: Some(Arc::new(engine)) })
    }

    /// Their texts.
    #[must_use]
    pub const fn sources(&self) -> &BTreeMap<ModuleName, String> {
        &self.sources
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// Whether a path names a rule of them.
    #[must_use]
    pub fn has(&self, when: &When) -> bool {
        let Some(engine) = &self.engine else { return false };
        let names = || Engine::clone(engine).compile_with_entrypoint(&when.as_str().into()).is_ok();
        on_a_stack(names).unwrap_or(false)
    }

    /// Asks one of their rules. What ran out of time is asked once more: the clock also runs while others have the processor.
    #[must_use]
    pub fn ask(&self, when: &When, input: &serde_json::Value) -> Answer {
        match self.ask_once(when, input) {
            Answer::OutOfTime => self.ask_once(when, input),
            answer => answer,
        }
    }

    fn ask_once(&self, when: &When, input: &serde_json::Value) -> Answer {
        let Some(engine) = &self.engine else { return Answer::Undefined };
        let ask = || {
            let mut engine = Engine::clone(engine);
            engine.set_input(Value::from(input.clone()));
            match engine.eval_rule(when.as_str().to_owned()) {
                Ok(Value::Bool(true)) => Answer::True,
                Ok(Value::Bool(false)) => Answer::False,
                Ok(Value::Undefined) => Answer::Undefined,
                Ok(_) => Answer::OtherType,
                Err(error) if is_out_of_time(&error) => Answer::OutOfTime,
                Err(error) => Answer::Failed { error: one_line(&error.to_string()) },
            }
        };
        on_a_stack(ask).unwrap_or_else(|| Answer::Failed { error: "the evaluation broke off".to_owned() })
    }
}

fn is_out_of_time(
    error: &(impl std::ops::Deref<Target = dyn std::error::Error + Send + Sync> + ?Sized),
) -> bool {
    matches!(error.downcast_ref::<LimitError>(), Some(LimitError::TimeLimitExceeded { .. }))
}

/// Compiling and asking recurse: they get room for it, and whatever breaks there breaks nothing else. Not a thread of its own:
/// where others have the processor, one that is new waits long.
fn on_a_stack<T>(work: impl FnOnce() -> T) -> Option<T> {
    stacker::grow(STACK, || panic::catch_unwind(AssertUnwindSafe(work)).ok())
}

fn bounded(sources: &BTreeMap<ModuleName, String>) -> Result<(), ModuleError> {
    let most = |what, found, most| {
        if found > most { Err(ModuleError::TooMany { what, found, most }) } else { Ok(()) }
    };
    most("modules", sources.len(), MOST)?;
    for (module, source) in sources {
        if source.len() > LONGEST {
            return Err(ModuleError::TooLong { module: module.clone(), bytes: source.len() });
        }
    }
    most("bytes", sources.values().map(String::len).sum(), LONGEST_TOGETHER)?;
    for (module, source) in sources {
        guard::check(source).map_err(|(line, why)| ModuleError::Unusable {
            module: module.clone(),
            line,
            message: why.to_string(),
        })?;
    }
    Ok(())
}

fn compile(sources: &BTreeMap<ModuleName, String>) -> Result<Engine, ModuleError> {
    let mut engine = Engine::new();
    // An error of a function is an error, not an absent value that `not` would turn into true.
    engine.set_strict_builtin_errors(true);
    engine.set_gather_prints(true);
    engine.set_execution_timer_config(ExecutionTimerConfig { limit: TIME, check_interval: STEPS });
    let longest = NonZeroUsize::new(LONGEST).unwrap_or(NonZeroUsize::MIN);
    engine.set_policy_length_config(PolicyLengthConfig {
        max_file_bytes: longest,
        ..PolicyLengthConfig::default()
    });
    for (name, arguments) in REFUSED {
        let refuse =
            move |_: Vec<Value>| Err(std::io::Error::other(format!("{name} is not allowed here")).into());
        engine
            .add_extension(name.to_owned(), arguments, Box::new(refuse))
            .map_err(|error| ModuleError::Together(one_line(&error.to_string())))?;
    }
    for (module, source) in sources {
        engine
            .add_policy(module.to_string(), source.clone())
            .map_err(|error| unusable(module, &error.to_string()))?;
    }
    let rules = engine.get_modules().iter().map(|module| module.policy.len()).sum();
    if rules > MOST_RULES {
        return Err(ModuleError::TooMany { what: "rules", found: rules, most: MOST_RULES });
    }
    // Any path will do: what is wrong with the modules is found on the way, and it need not be done again.
    match engine.eval_rule("data.hoop_has_no_such_package.rule".to_owned()) {
        Err(error) if error.to_string().contains("not a valid rule path") => Ok(engine),
        Err(error) => Err(located(sources, &error.to_string())),
        Ok(_) => Ok(engine),
    }
}

fn located(sources: &BTreeMap<ModuleName, String>, error: &str) -> ModuleError {
    let named = place(error).and_then(|(name, _)| sources.keys().find(|module| module.0.as_str() == name));
    named.map_or_else(|| ModuleError::Together(one_line(error)), |module| unusable(module, error))
}

fn unusable(module: &ModuleName, error: &str) -> ModuleError {
    let line = place(error).map_or(1, |(_, line)| line);
    ModuleError::Unusable { module: module.clone(), line, message: message(error) }
}

/// Of `--> NAME:LINE:COLUMN`, with which the engine's errors begin.
fn place(error: &str) -> Option<(&str, usize)> {
    let (_, behind) = error.split_once("--> ")?;
    let (place, _) = behind.split_once('\n')?;
    let (place, _) = place.rsplit_once(':')?;
    let (name, line) = place.rsplit_once(':')?;
    Some((name, line.parse().ok()?))
}

/// What stands behind the piece of source that the engine shows.
fn message(error: &str) -> String {
    one_line(error.rsplit_once("error: ").map_or(error, |(_, message)| message))
}

/// Bounded, and nothing in it acts on a terminal.
fn one_line(error: &str) -> String {
    let error = match place(error) {
        Some((name, line)) => format!(
            "{name}, line {line}: {}",
            error.rsplit_once("error: ").map_or(error, |(_, message)| message)
        ),
        None => error.to_owned(),
    };
    let words = error.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().filter(|c| crate::rules::is_visible(*c)).take(300).collect()
}

/// The questions of one decision: each path is asked once, and the input is made only if one is.
pub(crate) struct Evaluation<'a> {
    modules: &'a Modules,
    input: Box<dyn Fn() -> serde_json::Value + 'a>,
    answers: RefCell<BTreeMap<When, Answer>>,
}

impl<'a> Evaluation<'a> {
    pub(crate) fn new(modules: &'a Modules, input: impl Fn() -> serde_json::Value + 'a) -> Self {
        Self { modules, input: Box::new(input), answers: RefCell::default() }
    }

    pub(crate) fn ask(&self, when: &When) -> Answer {
        if let Some(answer) = self.answers.borrow().get(when) {
            return answer.clone();
        }
        let answer = self.modules.ask(when, &(self.input)());
        self.answers.borrow_mut().insert(when.clone(), answer.clone());
        answer
    }
}
