"""Networks of one size that are trained together, one for each seed: GPT-NeoX with a leading seed axis.

Networks this small are slow one by one, because each operation costs more than its arithmetic.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, gelu, layer_norm
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM


class Networks(nn.Module):
    """Networks with the same configuration. Each parameter has the shape of the Hugging Face parameter after [seed].

    For a given configuration, the initial weights of a network depend on its seed alone.
    """

    def __init__(self, config: GPTNeoXConfig, seeds: tuple[int, ...]) -> None:
        super().__init__()
        self.config = config
        states = []
        for seed in seeds:
            torch.manual_seed(seed)
            states.append(dict(GPTNeoXForCausalLM(config).named_parameters()))
        self.stacked = nn.ParameterDict(
            {
                name.replace(".", "/"): nn.Parameter(torch.stack([state[name].detach() for state in states]))
                for name in states[0]
            }
        )
        width = config.hidden_size // config.num_attention_heads
        rope = config.rope_parameters
        self.rotated = int(width * rope["partial_rotary_factor"])
        rates = rope["rope_theta"] ** -(torch.arange(0, self.rotated, 2) / self.rotated)
        angles = torch.arange(config.max_position_embeddings)[:, None, None] * torch.cat([rates, rates])
        self.register_buffer("cos", angles.cos(), persistent=False)  # [pos 1 d_rotated]
        self.register_buffer("sin", angles.sin(), persistent=False)

    def parameter(self, name: str) -> nn.Parameter:
        """The parameter with the name that it has in `GPTNeoXForCausalLM`, [seed ...]."""
        parameter: nn.Parameter = self.stacked[name.replace(".", "/")]
        return parameter

    @torch.no_grad()
    def model_of(self, number: int) -> GPTNeoXForCausalLM:
        """The network at `number` as a Hugging Face model."""
        model = GPTNeoXForCausalLM(self.config)
        for name, value in model.named_parameters():
            value.copy_(self.parameter(name)[number])
        return model

    def forward(self, tokens: Tensor, wanted: Tensor | None = None) -> Tensor:
        """The residual stream after the last norm, [seed document pos d_model]; `tokens` is [seed document pos].

        With `wanted` [seed document place], only at these positions: [seed document place d_model]. The last layer then
        computes nothing else but the keys and values of the other positions.
        """
        weight = self.parameter("gpt_neox.embed_in.weight")
        seeds, rows, d_model = weight.shape
        offsets = torch.arange(0, seeds * rows, rows)[:, None, None]
        x = embedding(tokens + offsets, weight.view(-1, d_model))
        last = self.config.num_hidden_layers - 1
        for layer in range(last + 1):
            at = f"gpt_neox.layers.{layer}"
            normed = self._norm(f"{at}.input_layernorm", x)
            if layer == last and wanted is not None:
                x = take(x, wanted) + self._attention(f"{at}.attention", normed, wanted)
            else:
                x = x + self._attention(f"{at}.attention", normed)
            inner = self._linear(f"{at}.mlp.dense_h_to_4h", self._norm(f"{at}.post_attention_layernorm", x))
            x = x + self._linear(f"{at}.mlp.dense_4h_to_h", gelu(inner, approximate="tanh"))
        return self._norm("gpt_neox.final_layer_norm", x)

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits [seed position token] of hidden states [seed position d_model]."""
        return hidden @ self.parameter("gpt_neox.embed_in.weight").transpose(1, 2)

    def _norm(self, name: str, x: Tensor) -> Tensor:
        weight, bias = (self.parameter(f"{name}.{part}")[:, None, None] for part in ("weight", "bias"))
        return torch.addcmul(bias, layer_norm(x, x.shape[-1:], eps=self.config.layer_norm_eps), weight)

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return affine(x, self.parameter(f"{name}.weight"), self.parameter(f"{name}.bias"))

    def _attention(self, at: str, x: Tensor, wanted: Tensor | None = None) -> Tensor:
        """Attention to all positions, from those of `wanted` or from all."""
        everywhere = torch.arange(x.shape[2])[None]
        if wanted is None:
            positions = everywhere
            query, key, value = self._projected(f"{at}.query_key_value", x, slice(0, 3))
        else:
            positions = wanted.flatten(0, 1)
            (query,) = self._projected(f"{at}.query_key_value", take(x, wanted), slice(0, 1))
            key, value = self._projected(f"{at}.query_key_value", x, slice(1, 3))
        query, key = self._rotate(query, positions) * query.shape[-1] ** -0.5, self._rotate(key, everywhere)
        is_later = positions[..., None] < everywhere[:, None]
        mask = torch.zeros(is_later.shape).masked_fill(is_later, float("-inf"))[:, None]
        # At these lengths, the parts of attention one by one are faster than the fused kernel.
        query, key, value = (part.transpose(1, 2) for part in (query, key, value))
        pattern = (query @ key.transpose(-1, -2) + mask).softmax(-1)
        mixed = (pattern @ value).transpose(1, 2).flatten(2)
        return self._linear(f"{at}.dense", mixed.unflatten(0, x.shape[:2]))

    def _projected(self, name: str, x: Tensor, parts: slice) -> Sequence[Tensor]:
        """Some of query, key and value, each [document pos head d_head] with the documents of all seeds in a row."""
        heads = self.config.num_attention_heads
        weight, bias = (
            parameter.unflatten(1, (heads, 3, -1))[:, :, parts].flatten(1, 3)
            for parameter in (self.parameter(f"{name}.weight"), self.parameter(f"{name}.bias"))
        )
        fused = affine(x, weight, bias).flatten(0, 1).unflatten(-1, (heads, -1))
        return fused.chunk(parts.stop - parts.start, dim=-1)

    def _rotate(self, x: Tensor, positions: Tensor) -> Tensor:
        """Rotate the first dimensions of each head by its position; `x` is [document pos head d_head]."""
        turned, kept = x[..., : self.rotated], x[..., self.rotated :]
        first, second = turned.chunk(2, dim=-1)
        cos, sin = self.cos[positions], self.sin[positions]
        return torch.cat([turned * cos + torch.cat([-second, first], dim=-1) * sin, kept], dim=-1)


def affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The linear map of each seed: `x` is [seed document pos in], `weight` [seed out in] and `bias` [seed out]."""
    flat = torch.baddbmm(bias[:, None], x.reshape(len(x), -1, x.shape[-1]), weight.transpose(1, 2))
    return flat.view(*x.shape[:-1], -1)


def take(x: Tensor, positions: Tensor) -> Tensor:
    """`x` [seed document pos ...] at the positions [seed document place]: [seed document place d]."""
    return x.gather(2, positions[..., None].expand(*positions.shape, x.shape[-1]))
