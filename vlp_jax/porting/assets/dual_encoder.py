"""A picture tower and a text tower of transformers that meet in one embedding space.

The class of the model in this folder, whose towers transformers' own
VisionTextDualEncoderModel cannot join. Needs torch and transformers.

    model = AutoModel.from_pretrained("FOLDER", trust_remote_code=True)
    model(input_ids, pixel_values, attention_mask).logits_per_image
"""

import torch
from torch.nn import Linear, Parameter
from torch.nn.functional import normalize
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.clip.modeling_clip import CLIPOutput

# Position [B] of the token that stands for a text: of ids [B, L], of their mask, which
# is 0 at padding, and of the id at which texts end.
POSITIONS = {
    "first_eos": lambda ids, mask, end: (ids == end).int().argmax(dim=1),
    "largest_id": lambda ids, mask, end: ids.argmax(dim=1),
    "last": lambda ids, mask, end: torch.full_like(ids[:, 0], ids.shape[1] - 1),
    "last_unmasked": lambda ids, mask, end: (
        ids.shape[1] - 1 - mask.flip(1).int().argmax(dim=1)
    ),
}


class DualEncoderConfig(PretrainedConfig):
    """vision_config, text_config: those of the towers, with their model_type.

    text_pool: a key of POSITIONS, or 'pooler' for the text tower's own.
    logit_bias_init_value: None for a model without a logit_bias.
    """

    model_type = "vlp_jax_dual_encoder"
    sub_configs = {"vision_config": AutoConfig, "text_config": AutoConfig}

    def __init__(
        self,
        vision_config=None,
        text_config=None,
        projection_dim=512,
        text_pool="pooler",
        logit_scale_init_value=2.6592600,
        logit_bias_init_value=None,
        **others,
    ):
        vision_config = vision_config or {"model_type": "resnet"}
        text_config = text_config or {"model_type": "bert"}
        self.vision_config = AutoConfig.for_model(**vision_config)
        self.text_config = AutoConfig.for_model(**text_config)
        self.projection_dim = projection_dim
        self.text_pool = text_pool
        self.logit_scale_init_value = logit_scale_init_value
        self.logit_bias_init_value = logit_bias_init_value
        super().__init__(**others)


class DualEncoder(PreTrainedModel):
    """Outputs have the names that they have in VisionTextDualEncoderModel."""

    config_class = DualEncoderConfig
    _supports_sdpa = True

    def __init__(self, config):
        super().__init__(config)
        image, text = config.vision_config, config.text_config
        size = config.projection_dim
        is_resnet = image.model_type == "resnet"  # it has no hidden_size
        width = image.hidden_sizes[-1] if is_resnet else image.hidden_size
        self.vision_model = AutoModel.from_config(image)
        self.text_model = AutoModel.from_config(text)
        self.visual_projection = Linear(width, size, bias=False)
        self.text_projection = Linear(text.hidden_size, size, bias=False)
        scale, bias = config.logit_scale_init_value, config.logit_bias_init_value
        self.logit_scale = Parameter(torch.tensor(float(scale)))
        self.has_bias = bias is not None
        if self.has_bias:
            self.logit_bias = Parameter(torch.tensor(float(bias)))
        self.post_init()

    def get_image_features(self, pixel_values):
        """pooler_output: the projected [B, projection_dim], of any length."""
        found = self.vision_model(pixel_values=pixel_values)
        pooled = found.pooler_output.flatten(1)  # a ResNet's is [B, width, 1, 1]
        return BaseModelOutputWithPooling(
            found.last_hidden_state, self.visual_projection(pooled)
        )

    def get_text_features(self, input_ids, attention_mask=None):
        """The same of texts: ids and mask [B, L]."""
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        found = self.text_model(input_ids=input_ids, attention_mask=attention_mask)
        tokens, pool = found.last_hidden_state, self.config.text_pool
        if pool == "pooler":
            pooled = found.pooler_output
        else:
            end = self.config.text_config.eos_token_id
            at = POSITIONS[pool](input_ids, attention_mask, end)
            pooled = tokens[torch.arange(len(at), device=at.device), at]
        return BaseModelOutputWithPooling(tokens, self.text_projection(pooled))

    def forward(self, input_ids, pixel_values, attention_mask=None):
        """Embeddings of length one, and how alike pictures and texts are."""
        image = self.get_image_features(pixel_values)
        text = self.get_text_features(input_ids, attention_mask)
        image_embeds = normalize(image.pooler_output, dim=-1)
        text_embeds = normalize(text.pooler_output, dim=-1)
        logits = self.logit_scale.exp() * text_embeds @ image_embeds.T
        if self.has_bias:
            logits = logits + self.logit_bias
        return CLIPOutput(
            logits_per_image=logits.T,
            logits_per_text=logits,
            text_embeds=text_embeds,
            image_embeds=image_embeds,
            text_model_output=text,
            vision_model_output=image,
        )
