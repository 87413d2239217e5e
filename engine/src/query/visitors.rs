//! Distinct visitors of a row: an exact set up to [`VISITORS_EXACT_MAX`], beyond it a HyperLogLog of 2^14
//! registers.
//!
//! SQL computes the same registers (see [`register_sql`]), so a state that came from the warehouse and one
//! that grew in memory merge, and their estimate is the same number. The hash is ClickHouse's `intHash64`;
//! the estimator is Ertl's improved one (O. Ertl, "New cardinality estimation algorithms for HyperLogLog
//! sketches", 2017, algorithm 6), which needs no table of corrections and holds over the whole range.

use ahash::AHashSet;

/// Up to here a row's visitors are counted exactly.
pub const VISITORS_EXACT_MAX: usize = 10_000;
const PRECISION: u32 = 14;
/// Registers of the sketch.
pub(super) const REGISTERS: usize = 1 << PRECISION;
/// Bits of the hash that are left for the run of zeros.
const TAIL_BITS: u32 = 64 - PRECISION;
/// Largest value of a register.
const RHO_MAX: usize = TAIL_BITS as usize + 1;
/// Standard error of the sketch: 1.04 / √registers.
pub const STANDARD_ERROR: f64 = 0.008_125;

/// How many registers hold each value.
pub(super) type Histogram = [u32; HISTOGRAM_LEN];
/// From 0 to the largest value.
pub(super) const HISTOGRAM_LEN: usize = RHO_MAX + 1;

/// The visitors of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Visitors {
    Exact(AHashSet<u64>),
    Sketch(Box<[u8; REGISTERS]>),
    /// A finished number from SQL, which cannot grow.
    Known {
        count: u64,
        estimated: bool,
    },
}

impl Default for Visitors {
    fn default() -> Self {
        Self::Exact(AHashSet::new())
    }
}

/// ClickHouse's `intHash64`: MurmurHash3's finalizer over the number mixed with a constant.
#[inline]
pub(super) fn mix(visitor: u64) -> u64 {
    let mut x = visitor ^ 0x4cf2_d2ba_ae6d_a887;
    x ^= x >> 33;
    x = x.wrapping_mul(0xff51_afd7_ed55_8ccd);
    x ^= x >> 33;
    x = x.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ (x >> 33)
}

/// Register and value of a visitor.
#[inline]
fn register(visitor: u64) -> (usize, u8) {
    let hash = mix(visitor);
    let guarded = hash | 1 << TAIL_BITS;
    ((hash >> TAIL_BITS) as usize, guarded.trailing_zeros() as u8 + 1)
}

/// `register * 64 + value` of a visitor's column, in SQL. `x ^ (x - 1)` has as many ones as `x` has
/// trailing zeros, and one more.
pub(crate) fn register_sql(column: &str) -> String {
    let hash = format!("intHash64({column})");
    let guarded = format!("bitOr({hash}, toUInt64({}))", 1_u64 << TAIL_BITS);
    format!(
        "toUInt32(bitShiftRight({hash}, {TAIL_BITS}) * 64 \
         + bitCount(bitXor({guarded}, {guarded} - toUInt64(1))))"
    )
}

/// Values up to here are told in unary, a bit for each, and those beyond beside it: of the visitors whose register
/// a cell has, one in 65,536 raises it further.
const UNARY_MAX: usize = 16;
/// Registers in unary: for each a byte of its value's first eight, as many low bits as there are; then for each one of
/// the next eight. Bytes that are alike lie together, and the union of visitors is the bitwise or.
const UNARY_BYTES: usize = REGISTERS * UNARY_MAX / 8;

/// The registers that an array of `register * 64 + value` stands for, in unary as `Array(UInt256)`: the widest numbers
/// that ClickHouse has, so that there are few of them.
pub(crate) fn unary_sql(packed: &str) -> String {
    // The largest value of each register comes first, and the first one stays.
    let sorted = format!("arrayReverseSort({packed})");
    let values = format!(
        "arrayReduce('groupArrayInsertAt(0, {REGISTERS})', arrayMap(x -> toUInt8(modulo(x, 64)), {sorted}), \
         arrayMap(x -> toUInt32(intDiv(x, 64)), {sorted}))"
    );
    let eight = |from: u32| {
        let some = format!("least(greatest(value, {from}) - {from}, 8)");
        format!(
            "reinterpret(arrayMap(value -> toUInt8(bitShiftLeft(toUInt16(1), {some}) - 1), values), 'String')"
        )
    };
    // A lambda, as ClickHouse would work out twice what is written twice.
    let bytes = format!("arrayMap(values -> concat({}, {}), [{values}])[1]", eight(0), eight(8));
    format!("reinterpret({bytes}, 'Array(UInt256)')")
}

/// What [`unary_sql`] makes of `packed` together with the registers `joined`, which are in unary or none at all.
pub(crate) fn joined_sql(packed: &str, joined: &str) -> String {
    let [unary, numbers] = [unary_sql(packed), (UNARY_BYTES / size_of::<[u64; 4]>()).to_string()];
    format!(
        "if(empty({packed}), {joined}, \
         arrayMap((a, b) -> bitOr(a, b), arrayResize({joined}, {numbers}, toUInt256(0)), {unary}))"
    )
}

/// Those of an array of `register * 64 + value` that [`unary_sql`] does not tell.
pub(crate) fn high_sql(packed: &str) -> String {
    format!("arrayFilter(x -> modulo(x, 64) > {UNARY_MAX}, {packed})")
}

/// From `register * 64 + value`.
fn unpack(packed: u32) -> (usize, u8) {
    (((packed / 64) as usize) & (REGISTERS - 1), (packed % 64) as u8)
}

impl Visitors {
    /// A visitor came.
    #[inline]
    pub(super) fn add(&mut self, visitor: u64) {
        match self {
            Self::Exact(set) => {
                if set.insert(visitor) && set.len() > VISITORS_EXACT_MAX {
                    *self = Self::Sketch(sketch_of(set));
                }
            }
            Self::Sketch(registers) => raise(registers, register(visitor)),
            Self::Known { .. } => unreachable!("finished numbers do not grow"),
        }
    }

    /// From a state row: the set, or the registers where the set was too large.
    pub(super) fn from_state(set: Vec<u64>, packed: &[u32]) -> Self {
        if packed.is_empty() {
            return Self::Exact(set.into_iter().collect());
        }
        let mut registers = Box::new([0_u8; REGISTERS]);
        for &one in packed {
            raise(&mut registers, unpack(one));
        }
        Self::Sketch(registers)
    }

    /// From a state row that is partly of cells. `many`: the set was larger than it may be. `largest`: the
    /// number of the largest cell whose own set was not read. `None` where that leaves open whether the row
    /// is exact.
    pub(super) fn from_cells(
        many: bool,
        set: Vec<u64>,
        packed: &[u32],
        unary: &[u8],
        largest: u32,
    ) -> Option<Self> {
        if !many && largest == 0 {
            return Some(Self::Exact(set.into_iter().collect()));
        }
        let mut registers = Box::new([0_u8; REGISTERS]);
        packed.iter().for_each(|one| raise(&mut registers, unpack(*one)));
        if unary.len() == UNARY_BYTES {
            let (first, next) = unary.split_at(REGISTERS);
            for (register, (first, next)) in registers.iter_mut().zip(first.iter().zip(next)) {
                *register = (*register).max((first.count_ones() + next.count_ones()) as u8);
            }
        }
        // A register is raised by a visitor of its own at least.
        let met = registers.iter().filter(|value| **value > 0).count();
        let exceeds = many || largest as usize > VISITORS_EXACT_MAX || met > VISITORS_EXACT_MAX;
        exceeds.then_some(Self::Sketch(registers))
    }

    /// The union.
    pub(super) fn merge(&mut self, other: &Self) {
        match (&mut *self, other) {
            (_, Self::Exact(set)) => {
                for &visitor in set {
                    self.add(visitor);
                }
            }
            (Self::Exact(set), Self::Sketch(theirs)) => {
                let mut registers = sketch_of(set);
                union(&mut registers, theirs);
                *self = Self::Sketch(registers);
            }
            (Self::Sketch(ours), Self::Sketch(theirs)) => union(ours, theirs),
            (Self::Known { .. }, _) | (_, Self::Known { .. }) => {
                unreachable!("finished numbers do not merge")
            }
        }
    }

    /// Whether nobody came.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Exact(set) => set.is_empty(),
            Self::Sketch(_) => false,
            Self::Known { count, .. } => *count == 0,
        }
    }

    /// Whether [`Self::count`] is an estimate.
    pub(super) fn count_is_estimated(&self) -> bool {
        matches!(self, Self::Sketch(_) | Self::Known { estimated: true, .. })
    }

    /// How many came, and whether that is an estimate.
    pub(super) fn count(&self) -> (u64, bool) {
        match self {
            Self::Exact(set) => (set.len() as u64, false),
            Self::Known { count, estimated } => (*count, *estimated),
            Self::Sketch(registers) => {
                let mut histogram = [0_u32; HISTOGRAM_LEN];
                for &value in registers.iter() {
                    histogram[usize::from(value)] += 1;
                }
                (estimate(&histogram), true)
            }
        }
    }
}

fn sketch_of(set: &AHashSet<u64>) -> Box<[u8; REGISTERS]> {
    let mut registers = Box::new([0_u8; REGISTERS]);
    for &visitor in set {
        raise(&mut registers, register(visitor));
    }
    registers
}

#[inline]
fn raise(registers: &mut [u8; REGISTERS], (index, value): (usize, u8)) {
    let held = &mut registers[index];
    *held = (*held).max(value.min(RHO_MAX as u8));
}

fn union(ours: &mut [u8; REGISTERS], theirs: &[u8; REGISTERS]) {
    for (own, other) in ours.iter_mut().zip(theirs) {
        *own = (*own).max(*other);
    }
}

/// The number of visitors that such registers speak for. `histogram[0]` may be left 0: it is what the others
/// leave over.
pub(super) fn estimate(histogram: &Histogram) -> u64 {
    let registers = REGISTERS as f64;
    let taken: u32 = histogram[1..].iter().sum();
    let empty = (REGISTERS as u32).saturating_sub(taken);
    let mut z = registers * tau(1.0 - f64::from(histogram[RHO_MAX]) / registers);
    for value in (1..RHO_MAX).rev() {
        z = 0.5 * (z + f64::from(histogram[value]));
    }
    z += registers * sigma(f64::from(empty) / registers);
    let alpha = 0.5 / std::f64::consts::LN_2;
    (alpha * registers * registers / z).round() as u64
}

fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x).powi(2) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(visitors: impl Iterator<Item = u64>) -> Visitors {
        let mut state = Visitors::default();
        visitors.for_each(|visitor| state.add(visitor));
        state
    }

    #[test]
    fn the_hash_is_clickhouses() {
        // SELECT intHash64(0), intHash64(1), intHash64(18446744073709551615)
        let known = [4_761_183_170_873_013_810, 10_577_349_846_663_553_072, 14_600_443_904_207_254_319];
        assert_eq!([mix(0), mix(1), mix(u64::MAX)], known);
    }

    #[test]
    fn sets_are_exact_up_to_the_bound_and_estimates_beyond_stay_within_four_errors() {
        assert_eq!(of((0..10_000).chain(0..10_000)).count(), (10_000, false));
        for n in [10_001_u64, 30_000, 41_000, 80_000, 1_000_000] {
            let (count, estimated) = of(0..n).count();
            let error = (count as f64 - n as f64).abs() / n as f64;
            assert!(estimated && error < 4.0 * STANDARD_ERROR, "{n}: {count}");
        }
    }

    #[test]
    fn merging_is_the_union_in_any_order() {
        let ranges = [0..8_000_u64, 4_000..12_000, 0..50_000, 49_000..50_500];
        let whole = of(0..50_500);
        for first in 0..ranges.len() {
            let mut merged = Visitors::default();
            for index in 0..ranges.len() {
                merged.merge(&of(ranges[(first + index) % ranges.len()].clone()));
            }
            assert_eq!(merged, whole);
        }
        let mut small = of(0..3_000);
        small.merge(&of(2_000..5_000));
        assert_eq!(small.count(), (5_000, false));
    }

    #[test]
    fn a_state_comes_back_from_packed_registers() {
        let whole = of(0..20_000);
        let packed: Vec<u32> = (0..20_000)
            .map(|visitor| {
                let (index, value) = register(visitor);
                index as u32 * 64 + u32::from(value)
            })
            .collect();
        assert_eq!(Visitors::from_state(Vec::new(), &packed), whole);
    }

    #[test]
    fn registers_in_unary_are_the_registers() {
        let all: Vec<(usize, u8)> =
            (0..REGISTERS).map(|at| (at, (at % HISTOGRAM_LEN) as u8)).filter(|one| one.1 > 0).collect();
        let mut unary = vec![0_u8; UNARY_BYTES];
        for &(at, value) in &all {
            let ones = |count: u8| ((1_u16 << count.min(8)) - 1) as u8;
            unary[at] = ones(value);
            unary[REGISTERS + at] = ones(value.saturating_sub(8));
        }
        let pack = |&(at, value): &(usize, u8)| at as u32 * 64 + u32::from(value);
        let high: Vec<u32> = all.iter().filter(|one| usize::from(one.1) > UNARY_MAX).map(pack).collect();
        let packed: Vec<u32> = all.iter().map(pack).collect();
        let expected = Visitors::from_state(Vec::new(), &packed);
        assert_eq!(Visitors::from_cells(true, Vec::new(), &high, &unary, 0), Some(expected));
    }
}
