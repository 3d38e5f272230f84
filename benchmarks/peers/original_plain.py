"""The original DDPM for conditional digits, as a person would first write it.

After Ho et al. 2020, "Denoising Diffusion Probabilistic Models" (https://arxiv.org/abs/2006.11239),
with weight-standardized ResNet blocks modulated by the sum of a time and a label embedding:
51,067,777 parameters. Trained with L1 on the noise, Adam at 1e-4, batch 64, linear betas 1e-4 to
0.02, 1000 timesteps; drawn by ancestral sampling over all of them with x0 clipped to [-1, 1], and by
DDIM.
Nothing here is tuned: default memory format, attention by einsum and softmax, kernels standardized
anew at every forward pass, no EMA. ``make_network`` can be imported where there is only torch.

Images are padded to 32x32, because the network halves them four times, and cropped back to 28x28.
"""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TIMESTEPS = 1000


class StandardizedConv2d(nn.Conv2d):
    """A convolution whose kernels have zero mean and unit variance, output channel by channel."""

    def forward(self, x: Tensor) -> Tensor:
        mean = self.weight.mean(dim=(1, 2, 3), keepdim=True)
        variance = self.weight.var(dim=(1, 2, 3), unbiased=False, keepdim=True)
        weight = (self.weight - mean) * (variance + 1e-5).rsqrt()
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


class Sinusoids(nn.Module):
    """The sinusoidal embedding of integer time steps: sine and cosine in turn."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, steps: Tensor) -> Tensor:
        frequencies = 10000 ** (-torch.arange(0, self.width, 2, device=steps.device) / self.width)
        angles = steps[:, None] * frequencies[None, :]
        return torch.stack([angles.sin(), angles.cos()], dim=-1).reshape(len(steps), self.width)


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.proj = StandardizedConv2d(inputs, outputs, 3, padding=1)
        self.norm = nn.GroupNorm(8, outputs)
        self.act = nn.SiLU()

    def forward(self, x: Tensor, scale_shift: tuple[Tensor, Tensor] | None = None) -> Tensor:
        x = self.norm(self.proj(x))
        if scale_shift is not None:
            scale, shift = scale_shift
            x = x * (scale + 1) + shift
        return self.act(x)


class ResnetBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, embedding: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.SiLU(), nn.Linear(embedding, outputs * 2))
        self.block1 = Block(inputs, outputs)
        self.block2 = Block(outputs, outputs)
        self.res_conv = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.mlp(embedding)[:, :, None, None].chunk(2, dim=1)
        h = self.block1(x, (scale, shift))
        h = self.block2(h)
        return h + self.res_conv(x)


class Attention(nn.Module):
    def __init__(self, channels: int, heads: int = 4, head_width: int = 32) -> None:
        super().__init__()
        self.heads = heads
        self.scale = head_width**-0.5
        self.input_to_qkv = nn.Conv2d(channels, heads * head_width * 3, 1, bias=False)
        self.to_output = nn.Conv2d(heads * head_width, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        b, _, h, w = x.shape
        q, k, v = (
            part.reshape(b, self.heads, -1, h * w) for part in self.input_to_qkv(x).chunk(3, dim=1)
        )
        similarity = torch.einsum("bhdi,bhdj->bhij", q * self.scale, k)
        attention = similarity.softmax(dim=-1)
        out = torch.einsum("bhij,bhdj->bhdi", attention, v)
        return self.to_output(out.reshape(b, -1, h, w))


class Down(nn.Module):
    def __init__(self, inputs: int, outputs: int, embedding: int, attention: bool) -> None:
        super().__init__()
        self.block1 = ResnetBlock(inputs, outputs, embedding)
        self.block2 = ResnetBlock(outputs, outputs, embedding)
        self.attn = Attention(outputs) if attention else nn.Identity()
        self.down = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(outputs * 4, outputs, 1))

    def forward(self, x: Tensor, embedding: Tensor) -> tuple[Tensor, Tensor]:
        x = self.block1(x, embedding)
        x = self.block2(x, embedding)
        x = self.attn(x)
        return self.down(x), x


class Up(nn.Module):
    def __init__(self, inputs: int, outputs: int, embedding: int, attention: bool) -> None:
        super().__init__()
        self.upconv = nn.ConvTranspose2d(inputs, inputs, 4, stride=2, padding=1)
        self.block1 = ResnetBlock(inputs + outputs, outputs, embedding)
        self.block2 = ResnetBlock(outputs, outputs, embedding)
        self.attn = Attention(outputs) if attention else nn.Identity()

    def forward(self, x: Tensor, skip: Tensor, embedding: Tensor) -> Tensor:
        x = torch.cat([self.upconv(x), skip], dim=1)
        x = self.block1(x, embedding)
        x = self.block2(x, embedding)
        return self.attn(x)


class PlainUNet(nn.Module):
    """Noise prediction for images (batch, 1, 32, 32), steps 1..1000 and labels 0..9, (batch,)."""

    def __init__(self) -> None:
        super().__init__()
        embedding = 128
        self.time_mlp = nn.Sequential(
            Sinusoids(embedding),
            nn.Linear(embedding, embedding * 4),
            nn.GELU(),
            nn.Linear(embedding * 4, embedding),
        )
        self.label_emb = nn.Embedding(10, embedding)
        self.downsample = nn.ModuleList(
            [
                Down(1, 64, embedding, attention=True),
                Down(64, 128, embedding, attention=False),
                Down(128, 256, embedding, attention=True),
                Down(256, 512, embedding, attention=False),
            ]
        )
        self.bottleneck = nn.ModuleList(
            [
                ResnetBlock(512, 512, embedding),
                ResnetBlock(512, 512, embedding),
                Attention(512),
            ]
        )
        self.upsample = nn.ModuleList(
            [
                Up(512, 512, embedding, attention=False),
                Up(512, 256, embedding, attention=True),
                Up(256, 128, embedding, attention=False),
                Up(128, 64, embedding, attention=True),
            ]
        )
        self.final_block = nn.ModuleList(
            [
                ResnetBlock(64, 64, embedding),
                ResnetBlock(64, 64, embedding),
                nn.Conv2d(64, 1, 1),
            ]
        )

    def forward(self, x: Tensor, steps: Tensor, labels: Tensor | None = None) -> Tensor:
        embedding = self.time_mlp(steps)
        if labels is not None:
            embedding = embedding + self.label_emb(labels)
        skips = []
        for down in self.downsample:
            x, skip = down(x, embedding)
            skips.append(skip)
        block1, block2, attention = self.bottleneck
        x = attention(block2(block1(x, embedding), embedding))
        for up in self.upsample:
            x = up(x, skips.pop(), embedding)
        block1, block2, output = self.final_block
        return output(block2(block1(x, embedding), embedding))


def make_network() -> PlainUNet:
    """A fresh network, on the CPU."""
    return PlainUNet()


def linear_schedule() -> tuple[Tensor, Tensor]:
    """``betas`` and the running product of ``1 - betas``, (1001,) each; step 0 is never used."""
    betas = torch.linspace(1e-4, 0.02, TIMESTEPS + 1)
    return betas, torch.cumprod(1 - betas, dim=0)


@torch.no_grad()
def ancestral(network: nn.Module, labels: Tensor) -> Tensor:
    """Draw an image for every label (Ho et al. 2020, algorithm 2, with x0 clipped)."""
    betas, alphas_bar = linear_schedule()
    x = torch.randn(len(labels), 1, 32, 32)
    for step in range(TIMESTEPS, 0, -1):
        noise = network(x, torch.full((len(labels),), step), labels)
        now, before = alphas_bar[step], alphas_bar[step - 1]
        x0 = ((x - (1 - now).sqrt() * noise) / now.sqrt()).clamp(-1, 1)
        mean = (before.sqrt() * betas[step] * x0 + (1 - betas[step]).sqrt() * (1 - before) * x) / (
            1 - now
        )
        if step == 1:
            return mean
        x = mean + (betas[step] * (1 - before) / (1 - now)).sqrt() * torch.randn_like(x)
    return x


@torch.no_grad()
def ddim(network: nn.Module, labels: Tensor, evaluations: int) -> Tensor:
    """Draw an image for every label without noise on the way, in fewer steps, which are evenly spaced
    (Song et al. 2021, https://arxiv.org/abs/2010.02502, equation 12 with sigma 0, with x0 clipped)."""
    _, alphas_bar = linear_schedule()
    alphas_bar[0] = 1  # the clean image
    steps = torch.linspace(TIMESTEPS, 0, evaluations + 1).round().long()
    x = torch.randn(len(labels), 1, 32, 32)
    for step, following in itertools.pairwise(steps):
        now, then = alphas_bar[step], alphas_bar[following]
        noise = network(x, step.expand(len(labels)), labels)
        x0 = ((x - (1 - now).sqrt() * noise) / now.sqrt()).clamp(-1, 1)
        noise = (x - now.sqrt() * x0) / (1 - now).sqrt()
        x = then.sqrt() * x0 + (1 - then).sqrt() * noise
    return x


def main() -> None:
    # Here, so that the network can be imported from anywhere and with torch alone.
    from common import Sampling, batches, parse, parser, report, train, training_set

    args = parse(parser(__doc__))
    data = batches(*training_set(args.mnist, pad=2), 64)
    network = make_network()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    _, alphas_bar = linear_schedule()

    def step() -> int:
        x, labels = next(data)
        steps = torch.randint(1, TIMESTEPS + 1, (len(x),))
        level = alphas_bar[steps][:, None, None, None]
        noise = torch.randn_like(x)
        noisy = level.sqrt() * x + (1 - level).sqrt() * noise
        loss = F.l1_loss(network(noisy, steps, labels), noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return len(x)

    samplings = [
        Sampling("ddpm", TIMESTEPS, lambda labels: ancestral(network, labels), batch=1),
        Sampling("ddim", 50, lambda labels: ddim(network, labels, 50), batch=16),
        Sampling("ddim", 20, lambda labels: ddim(network, labels, 20), batch=16),
    ]
    for budget, trained in train(step, args.seconds):
        note = "32x32, L1, Adam 1e-4, batch 64, x0 clipped, no EMA"
        report("original, plain", "1", budget, trained, samplings, args, network, note)


if __name__ == "__main__":
    main()
