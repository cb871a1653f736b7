//! `RNN`: a layer around any cell, or a stack of cells.

use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::cell::Cell;
use super::layer::{Cells, Options, Placed, RecurrentLayer};
use super::{GRUCell, LSTMCell, SimpleRNNCell};
use crate::config::{Config, from_config};
use crate::error::{Error, Result};
use crate::layer::{Layer, default_name};
use crate::layers::inner::dtype;

/// Recurrent layer around a cell or a stack of cells. [Keras](https://keras.io/api/layers/recurrent_layers/rnn/)
///
/// Input `(batch, time, features)`, output `(batch, units)` of the last cell, or `(batch, time, units)` with `return_sequences`.
/// The other arguments are those of [`RecurrentLayer`].
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([5, 2])
///     .add(RNN::new(LSTMCell::new(3)).return_sequences(true))
///     .add(RNN::new(StackedRNNCells::new([GRUCell::new(4)]).add(SimpleRNNCell::new(2))));
/// model.build([5, 2])?;
/// assert_eq!(model.predict(&ndarray::Array3::<f32>::ones((1, 5, 2)))?.shape(), [1, 2]);
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type RNN = RecurrentLayer<CellTree>;

impl RNN {
    /// Around this cell, or these.
    pub fn new(cell: impl Into<CellTree>) -> Self {
        RecurrentLayer::of(cell.into())
    }

    /// Reads the layer's configuration.
    pub(crate) fn read(class: &str, config: &Config) -> Result<Arc<dyn Layer>> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Form {
            cell: CellTree,
        }
        let mut config = config.clone();
        let options = Options::take(class, &mut config)?;
        let Form { cell } = from_config(class, &config)?;
        Ok(Arc::new(RecurrentLayer::with_options(cell, options)))
    }
}

/// A cell by its name, trained or frozen.
#[derive(Clone, Debug)]
pub struct CellRef {
    cell: Arc<dyn Cell>,
    name: Option<String>,
    trainable: bool,
}

impl CellRef {
    /// Names the cell.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Freezes (`false`) or unfreezes the cell's weights. Default true.
    pub fn trainable(mut self, trainable: bool) -> Self {
        self.trainable = trainable;
        self
    }
}

impl<C: Cell + 'static> From<C> for CellRef {
    fn from(cell: C) -> Self {
        CellRef {
            cell: Arc::new(cell),
            name: None,
            trainable: true,
        }
    }
}

/// Cells that work as one: each reads the output of the one before.
/// [Keras](https://keras.io/api/layers/recurrent_layers/stacked_rnn_cell/)
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([5, 2]).add(RNN::new(StackedRNNCells::new([LSTMCell::new(3), LSTMCell::new(4)])));
/// model.build([5, 2])?;
/// assert_eq!(model.count_params(), (2 + 3 + 1) * 12 + (3 + 4 + 1) * 16);
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct StackedRNNCells {
    cells: Vec<CellTree>,
    name: Option<String>,
    trainable: bool,
}

impl StackedRNNCells {
    /// These cells.
    pub fn new(cells: impl IntoIterator<Item: Into<CellTree>>) -> Self {
        StackedRNNCells {
            cells: cells.into_iter().map(Into::into).collect(),
            name: None,
            trainable: true,
        }
    }

    /// And this one behind them.
    #[allow(clippy::should_implement_trait)] // as in `Sequential`
    pub fn add(mut self, cell: impl Into<CellTree>) -> Self {
        self.cells.push(cell.into());
        self
    }

    /// Names the stack.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Freezes (`false`) or unfreezes the weights of all cells. Default true.
    pub fn trainable(mut self, trainable: bool) -> Self {
        self.trainable = trainable;
        self
    }
}

/// A cell, or a stack of cells.
#[derive(Clone, Debug)]
pub enum CellTree {
    /// A cell.
    Cell(CellRef),
    /// A stack.
    Stack(StackedRNNCells),
}

impl<C: Cell + 'static> From<C> for CellTree {
    fn from(cell: C) -> Self {
        CellTree::Cell(cell.into())
    }
}

impl From<CellRef> for CellTree {
    fn from(cell: CellRef) -> Self {
        CellTree::Cell(cell)
    }
}

impl From<StackedRNNCells> for CellTree {
    fn from(stack: StackedRNNCells) -> Self {
        CellTree::Stack(stack)
    }
}

impl CellTree {
    fn class_name(&self) -> &'static str {
        match self {
            CellTree::Cell(cell) => cell.cell.class_name(),
            CellTree::Stack(_) => "StackedRNNCells",
        }
    }

    /// The cells in order, each with its place. Keras numbers the cells of a stack by class.
    fn place<'a>(&'a self, path: &str, trainable: bool, out: &mut Vec<Placed<'a>>) {
        match self {
            CellTree::Cell(cell) => out.push(Placed {
                group: path.into(),
                trainable: trainable && cell.trainable,
                cell: cell.cell.as_ref(),
            }),
            CellTree::Stack(stack) => {
                for (i, cell) in stack.cells.iter().enumerate() {
                    let class = cell.class_name();
                    let same = stack.cells[..i].iter();
                    let name = default_name(class);
                    let name = match same.filter(|c| c.class_name() == class).count() {
                        0 => name,
                        n => format!("{name}_{n}"),
                    };
                    let trainable = trainable && stack.trainable;
                    cell.place(&format!("{path}/cells/{name}"), trainable, out);
                }
            }
        }
    }

    /// Cell `i` of those below, or how many there are if fewer.
    fn find(&self, mut i: usize) -> std::result::Result<&dyn Cell, usize> {
        match self {
            CellTree::Cell(cell) if i == 0 => Ok(cell.cell.as_ref()),
            CellTree::Cell(_) => Err(1),
            CellTree::Stack(stack) => {
                let mut count = 0;
                for cell in &stack.cells {
                    match cell.find(i) {
                        Ok(cell) => return Ok(cell),
                        Err(n) => (i, count) = (i - n, count + n),
                    }
                }
                Err(count)
            }
        }
    }
}

impl Cells for CellTree {
    fn layer_name(&self) -> &'static str {
        "RNN"
    }

    fn config(&self) -> Config {
        let mut config = Config::new();
        config.insert("cell".into(), json!(self));
        config
    }

    fn cells(&self) -> Vec<Placed<'_>> {
        let mut cells = Vec::new();
        self.place("cell", true, &mut cells);
        cells
    }

    fn count(&self) -> usize {
        self.find(usize::MAX).err().unwrap_or(0)
    }

    fn cell(&self, i: usize) -> &dyn Cell {
        match self.find(i) {
            Ok(cell) => cell,
            Err(n) => unreachable!("cell {i} of {n}"),
        }
    }
}

impl Serialize for CellTree {
    fn serialize<S: Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        let (name, trainable, own) = match self {
            CellTree::Cell(cell) => (&cell.name, cell.trainable, cell.cell.config()),
            CellTree::Stack(stack) => {
                let mut own = Map::new();
                own.insert("cells".into(), json!(stack.cells));
                (&stack.name, stack.trainable, own)
            }
        };
        let class = self.class_name();
        let name = name.clone().unwrap_or_else(|| default_name(class));
        let mut config = Map::new();
        config.insert("name".into(), json!(name));
        config.insert("trainable".into(), json!(trainable));
        config.insert("dtype".into(), dtype());
        config.extend(own);
        json!({"module": "keras.layers", "class_name": class, "config": config, "registered_name": null})
            .serialize(s)
    }
}

impl<'de> Deserialize<'de> for CellTree {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        let object = Value::deserialize(d)?;
        let (class, Some(config)) = (&object["class_name"], object["config"].as_object()) else {
            let want = "expected a cell: `class_name` and `config`";
            return Err(D::Error::custom(want));
        };
        let mut config = config.clone();
        config.shift_remove("dtype");
        let name = match config.shift_remove("name") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) => Some(name),
            Some(other) => {
                let problem = format!("`name`: expected a string, got {other}");
                return Err(D::Error::custom(problem));
            }
        };
        let trainable = match config.shift_remove("trainable") {
            None | Some(Value::Null) => true,
            Some(Value::Bool(trainable)) => trainable,
            Some(other) => {
                let problem = format!("`trainable`: expected true or false, got {other}");
                return Err(D::Error::custom(problem));
            }
        };
        let class = class.as_str().unwrap_or_default();
        let cell = match class {
            "SimpleRNNCell" => from_config(class, &config).map(SimpleRNNCell::into),
            "LSTMCell" => from_config(class, &config).map(LSTMCell::into),
            "GRUCell" => from_config(class, &config).map(GRUCell::into),
            "StackedRNNCells" => {
                #[derive(Deserialize)]
                #[serde(deny_unknown_fields)]
                struct Form {
                    cells: Vec<CellTree>,
                }
                let Form { cells } = from_config(class, &config).map_err(D::Error::custom)?;
                return Ok(CellTree::Stack(StackedRNNCells {
                    cells,
                    name,
                    trainable,
                }));
            }
            _ => {
                let problem = Error::unknown("cell class", class, super::CELLS);
                return Err(D::Error::custom(problem));
            }
        };
        let cell: CellRef = cell.map_err(D::Error::custom)?;
        Ok(CellTree::Cell(CellRef {
            name,
            trainable,
            ..cell
        }))
    }
}
