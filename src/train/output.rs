//! One output of a model in training: its loss, its metrics, the gradient it starts.

use std::sync::Arc;

use super::measure::{Mean, Measure, coefficients, mask_values, metric_weights};
use crate::activation::Activation;
use crate::float::Float;
use crate::kernels::elementwise;
use crate::losses::Loss;
use crate::tensor::{View, ViewMut};

/// What is measured at one output.
#[derive(Debug)]
pub(super) struct Output {
    /// `None`: nothing is minimised here.
    pub loss: Option<Arc<dyn Loss>>,
    weight: f64,
    /// The activation that was cut off.
    head: Option<Activation>,
    /// Whether the loss takes what came before it.
    on_logits: bool,
    pub metrics: Vec<Measure>,
    pub total: Mean,
    pub name: String,
}

/// Memory that outputs share.
#[derive(Debug, Default)]
pub(super) struct Room {
    coef: Vec<Float>,
    values: Vec<Float>,
    keep: Vec<bool>,
    weights: Vec<Float>,
    /// The output behind the activation that was cut off.
    activated: Vec<Float>,
    /// Gradient of an earlier output that is the same value.
    earlier: Vec<Float>,
}

impl Output {
    pub fn new(loss: Option<Arc<dyn Loss>>, weight: f64, name: String) -> Self {
        Output {
            loss,
            weight,
            head: None,
            on_logits: false,
            metrics: Vec::new(),
            total: Mean::default(),
            name,
        }
    }

    /// Whether the loss or a metric would rather have what comes before this last activation; if so, they get it.
    pub fn cut(&mut self, head: Activation, metrics: &mut [Measure]) -> bool {
        if let Some(loss) = self.loss.as_ref().and_then(|loss| loss.on_logits(&head)) {
            self.loss = Some(loss);
            self.on_logits = true;
        }
        for measure in &mut *metrics {
            if let Some(metric) = measure.metric.on_logits(&head) {
                measure.metric = metric;
                measure.on_logits = true;
            }
        }
        let wanted = self.on_logits || metrics.iter().any(|m| m.on_logits);
        if wanted {
            self.head = Some(head);
        }
        wanted
    }

    /// Applies the activation that was cut off, where somebody wants it.
    pub fn activate(&self, y_pred: View<'_>, room: &mut Room) {
        if let Some(head) = &self.head
            && (!self.on_logits || self.metrics.iter().any(|m| !m.on_logits))
        {
            room.activated.clear();
            room.activated.extend_from_slice(y_pred.data);
            head.apply(&mut room.activated, y_pred.cols());
        }
    }

    /// The weighted loss. The coefficients of its values are left in `room` for [`grad`](Self::grad).
    pub fn loss(
        &mut self,
        y_true: View<'_>,
        y_pred: View<'_>,
        mask: Option<&[bool]>,
        weight: Option<&[Float]>,
        room: &mut Room,
    ) -> f64 {
        let Some(loss) = &self.loss else {
            return 0.0;
        };
        let data = match self.head {
            Some(_) if !self.on_logits => &room.activated[..],
            _ => y_pred.data,
        };
        let shape = loss.values_shape(y_pred.batch, y_true.shape, y_pred.shape);
        room.values.resize(shape.numel(), 0.0);
        loss.values(y_true, View { data, ..y_pred }, &mut room.values);
        let masked = mask_values(loss.as_ref(), mask, y_true, &room.values, &mut room.keep);
        let keep = masked.then_some(&room.keep[..]);
        coefficients(loss.reduction(), &shape, weight, keep, &mut room.coef);
        let value = room
            .coef
            .iter()
            .zip(&room.values)
            .map(|(c, v)| f64::from(*c) * f64::from(*v))
            .sum();
        self.total.add(value, y_pred.batch);
        value * self.weight
    }

    pub fn update_metrics(
        &mut self,
        y_true: View<'_>,
        y_pred: View<'_>,
        mask: Option<&[bool]>,
        weight: Option<&[Float]>,
        room: &mut Room,
    ) {
        let rows = y_pred.rows();
        let weight = weight.filter(|w| w.len() == y_pred.batch || w.len() == rows);
        for measure in &mut self.metrics {
            let data = match self.head {
                Some(_) if !measure.on_logits => &room.activated[..],
                _ => y_pred.data,
            };
            let weight = weight.filter(|_| measure.weighted);
            let mask =
                mask.filter(|m| measure.metric.masked() && rows.is_multiple_of(m.len().max(1)));
            let weight = metric_weights(weight, mask, rows, &mut room.weights);
            measure
                .metric
                .update(y_true, View { data, ..y_pred }, weight);
        }
    }

    /// Leaves the gradient of the weighted loss, times `scale`, in `dy`; with `add` it is added to what is there.
    pub fn grad(
        &self,
        y_true: View<'_>,
        y_pred: View<'_>,
        scale: f64,
        add: bool,
        dy: &mut ViewMut<'_>,
        room: &mut Room,
    ) {
        let Some(loss) = &self.loss else {
            if !add {
                dy.data.fill(0.0);
            }
            return;
        };
        room.earlier.clear();
        if add {
            room.earlier.extend_from_slice(dy.data);
        }
        let factor = (self.weight * scale) as Float;
        if factor != 1.0 {
            elementwise::scale(factor, &mut room.coef);
        }
        let dy_of = |dy: &mut ViewMut<'_>, data| {
            let out = ViewMut {
                data: &mut *dy.data,
                shape: dy.shape,
                batch: dy.batch,
            };
            loss.grad(y_true, View { data, ..y_pred }, &room.coef, out);
        };
        match &self.head {
            Some(head) if !self.on_logits => {
                dy_of(dy, &room.activated);
                head.grad(&room.activated, y_pred.data, dy.data, y_pred.cols());
            }
            _ => dy_of(dy, y_pred.data),
        }
        elementwise::add(&room.earlier, &mut dy.data[..room.earlier.len()]);
    }
}
