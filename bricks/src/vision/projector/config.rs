//! Which projector a file holds, read from its metadata and bounded before anything is sized by it.

use super::super::config::VisionConfig;
use super::super::fields::Fields;
use super::super::framing::TilePlan;
use super::arrangement::Arrangement;
use crate::gguf::{Gguf, GgufError, GgufProblem};

const MERGE: &str = "mm_patch_merge_type";
const ASPECT: &str = "image_aspect_ratio";
const SCALE: &str = "projector.scale_factor";

/// What stands between the patch embeddings and the rows of the language model; `clip.projector_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProjectorKind {
    /// Two projections with a GELU between them, a row for each patch: LLaVA's. The default, as files were written
    /// before there was another.
    Mlp(Merge),
    /// Blocks of patches are projected together: Idefics3's and SmolVLM's pixel shuffle.
    Idefics3 {
        /// Patches of a block's side; `clip.vision.projector.scale_factor`.
        scale: usize,
    },
    /// Two projections with a GELU between them, means of blocks of 2 by 2 rows, and a depthwise convolution of 3 by 3
    /// added to them: MobileVLM 2's.
    Ldpv2,
}

/// How the rows of a picture's tiles come together; `clip.vision.mm_patch_merge_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merge {
    /// Tile after tile.
    Flat,
    /// The rows of the whole, then those of the tiles in the order of the picture's lines: without what the tiles show
    /// around the picture, and with a learned row at the end of each line.
    SpatialUnpad {
        /// Rows of more than about so many tiles are interpolated down to those of so many: `anyres_max_9`.
        most_tiles: Option<usize>,
    },
}

impl ProjectorKind {
    /// What the file names.
    pub(in crate::vision) fn read(fields: &Fields<'_>) -> Result<ProjectorKind, GgufError> {
        let gguf = fields.gguf;
        let mut named = (KINDS[0], "clip.projector_type");
        for key in ["clip.projector_type", "clip.vision.projector_type"] {
            if let Some(found) = gguf.find_str(key)? {
                named = (found, key);
            }
        }
        match named {
            ("mlp", _) => Ok(ProjectorKind::Mlp(Merge::read(fields)?)),
            ("idefics3", _) => Ok(ProjectorKind::Idefics3 { scale: fields.size_or(SCALE, 1..=64, 1)? }),
            ("ldpv2", _) => Ok(ProjectorKind::Ldpv2),
            (found, key) => {
                let problem = GgufProblem::Inconsistent { expected: KINDS.join(", "), found: found.to_owned() };
                Err(gguf.error(key, problem))
            }
        }
    }

    /// Patches of the side of a block whose patches are projected together.
    pub fn block(self) -> usize {
        match self {
            ProjectorKind::Mlp(_) => 1,
            ProjectorKind::Idefics3 { scale } => scale,
            ProjectorKind::Ldpv2 => 1,
        }
    }

    /// The names of the projections, in the order in which they are applied.
    pub(super) fn linears(self) -> &'static [&'static str] {
        match self {
            ProjectorKind::Mlp(_) => &["mm.0", "mm.2"],
            ProjectorKind::Idefics3 { .. } => &["mm.model.fc"],
            ProjectorKind::Ldpv2 => &["mm.model.mlp.0", "mm.model.mlp.2"],
        }
    }

    /// The name of the first projection.
    pub(super) fn first(self) -> &'static str {
        self.linears()[0]
    }

    /// The name of the last projection, whose rows are the projector's width.
    pub(super) fn last(self) -> &'static str {
        self.linears()[self.linears().len() - 1]
    }

    /// The tensor of that.
    fn last_tensor(self) -> String {
        format!("{}.weight", self.last())
    }
}

/// The types of projectors that are computed here.
const KINDS: [&str; 3] = ["mlp", "idefics3", "ldpv2"];

impl Merge {
    fn read(fields: &Fields<'_>) -> Result<Merge, GgufError> {
        match fields.text(MERGE)? {
            None | Some("flat") => return Ok(Merge::Flat),
            Some("spatial_unpad") => {}
            Some(found) => return Err(fields.wrong(MERGE, "flat or spatial_unpad".into(), found)),
        }
        let limit = fields.text(ASPECT)?.and_then(|aspect| aspect.strip_prefix("anyres_max_"));
        let most_tiles = limit.map(|limit| match limit.parse() {
            Ok(most @ 1..=256) => Ok(most),
            _ => Err(fields.wrong(
                ASPECT,
                "anyres_max_ and a number from 1 to 256".into(),
                format!("anyres_max_{limit}"),
            )),
        });
        Ok(Merge::SpatialUnpad { most_tiles: most_tiles.transpose()? })
    }
}

/// What a projector makes of patch embeddings.
#[derive(Debug, Clone, PartialEq)]
pub struct ProjectorConfig {
    /// How it computes.
    pub kind: ProjectorKind,
    /// Patches of a square's side.
    pub side: usize,
    /// Elements of a patch embedding.
    pub patch_width: usize,
    /// Elements of a row: the width of the language model.
    pub width: usize,
    /// The most rows that a picture makes.
    pub most_rows: usize,
}

impl ProjectorConfig {
    /// Reads and checks what an mmproj file says about its projector.
    pub fn from_gguf(gguf: &Gguf) -> Result<ProjectorConfig, GgufError> {
        ProjectorConfig::of(gguf, &VisionConfig::from_gguf(gguf)?)
    }

    fn of(gguf: &Gguf, vision: &VisionConfig) -> Result<ProjectorConfig, GgufError> {
        let kind = vision.projector;
        let width = gguf.tensor(&kind.last_tensor())?.rows();
        if !(1..=1 << 16).contains(&width) {
            let fields = Fields { gguf };
            return Err(fields.wrong_tensor(&kind.last_tensor(), "1 to 65536 rows".into(), width));
        }
        Ok(ProjectorConfig::beside(vision, width))
    }

    /// That of the projector which makes rows of `width` of what this encoder makes.
    pub(crate) fn beside(vision: &VisionConfig, width: usize) -> ProjectorConfig {
        let (kind, side) = (vision.projector, vision.side());
        let grids = vision.framing.largest_grids(vision.image_size);
        let most_rows = Arrangement::most_rows(kind, side, &grids);
        ProjectorConfig { kind, side, patch_width: vision.width, width, most_rows }
    }

    /// Where the rows of a picture go that was cut into squares like this.
    pub(crate) fn arrange(&self, plan: TilePlan) -> Arrangement {
        Arrangement::new(self, plan)
    }

    /// Whether the file holds a projector at all.
    pub fn is_in(gguf: &Gguf) -> Result<bool, GgufError> {
        let kind = ProjectorKind::read(&Fields { gguf })?;
        Ok(gguf.find_tensor(&kind.last_tensor()).is_some())
    }

    /// Rows of patch embeddings that are projected together into one row, or are the least that a job takes.
    pub(super) fn block_len(&self) -> usize {
        self.kind.block().pow(2)
    }

    /// Patch embeddings of a square.
    pub fn patches(&self) -> usize {
        self.side * self.side
    }

    /// Parts of a square that a job takes at least: blocks of patches.
    pub fn blocks(&self) -> usize {
        self.patches() / self.block_len()
    }
}
