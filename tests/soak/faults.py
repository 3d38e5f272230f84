"""Mistakes that somebody could make in the source, each with the tests of its subject."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """A mistake: a piece of the source, and what stands in its place.

    Args:
        name: the mistake in words.
        file: in src/mezzotint.
        old: the right text, which the file has once.
        new: the wrong text.
        tests: files in tests, or tests of them, of the fast suite.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


FAULTS = [
    # --- diffusion
    Fault(
        "v has the other sign",
        "diffusion/parametrizations.py",
        "return -level.sigma, level.alpha",
        "return level.sigma, -level.alpha",
        ("test_parametrizations.py",),
    ),
    Fault(
        "the network is told the step before",
        "diffusion/denoiser.py",
        "(t.double() * self.timesteps)",
        "(t.double() * self.timesteps - 1)",
        ("test_guidance.py",),
    ),
    Fault(
        "a variance is taken for a standard deviation",
        "diffusion/process.py",
        "(step_variance * ratio).sqrt()",
        "step_variance * ratio",
        ("test_process.py",),
    ),
    Fault(
        "noise is added in the last step",
        "diffusion/process.py",
        "step_variance.sqrt() * (level_s.sigma > 0)",
        "step_variance.sqrt()",
        ("test_process.py",),
    ),
    Fault(
        "small and large variance change places",
        "diffusion/process.py",
        """\
        case "small":
            return mean, (step_variance * ratio).sqrt()
        case "large":
            return mean, step_variance.sqrt() * (level_s.sigma > 0)
""",
        """\
        case "large":
            return mean, (step_variance * ratio).sqrt()
        case "small":
            return mean, step_variance.sqrt() * (level_s.sigma > 0)
""",
        ("test_process.py",),
    ),
    Fault(
        "guidance leads away from the label",
        "diffusion/denoiser.py",
        "weight = 1 + (self.guidance - 1) * active.double()",
        "weight = 1 - (self.guidance - 1) * active.double()",
        ("test_guidance.py",),
    ),
    Fault(
        "alpha-bar is that of the step before",
        "diffusion/schedules.py",
        "return Table((1 - betas.double()).cumprod(0)[1:])",
        "return Table((1 - betas.double()).cumprod(0)[:-1])",
        ("test_schedules.py",),
    ),
    Fault(
        "the cosine schedule has no offset",
        "diffusion/schedules.py",
        "/ count + s) / (1 + s) * torch.pi / 2",
        "/ count) * torch.pi / 2",
        ("test_schedules.py",),
    ),
    Fault(
        "the likelihood forgets that the flow's coordinates are scaled",
        "diffusion/likelihood.py",
        "+ dimensions * (sizes[1] / sizes[0]).log() + change",
        "+ change",
        ("test_likelihood.py::test_probability_flow_gives_a_gaussians_log_density",),
    ),
    Fault(
        "the divergence of the flow has the other sign",
        "diffusion/likelihood.py",
        "(sizes[1] / sizes[0]).log() + change",
        "(sizes[1] / sizes[0]).log() - change",
        ("test_likelihood.py::test_probability_flow_gives_a_gaussians_log_density",),
    ),
    # --- samplers
    Fault(
        "all images of a batch begin with one noise",
        "samplers/noise.py",
        "[generator(seed, number) for number in numbers]",
        "[generator(seed, numbers[0]) for _ in numbers]",
        ("test_samplers.py::test_the_noise_of_an_image_depends_on_its_seed_and_number_alone",),
    ),
    Fault(
        "the noise of a step is that of the step before",
        "samplers/ddpm.py",
        """\
        for t, s in pairwise(grid):
            x0 = denoiser(x, t, labels).x0
""",
        """\
        eps = noise()
        noise = lambda: eps
        for t, s in pairwise(grid):
            x0 = denoiser(x, t, labels).x0
""",
        ("test_samplers.py::test_random_samplers_draw_anew_at_every_step_but_the_last",),
    ),
    Fault(
        "Heun's step takes the second slope alone",
        "samplers/heun.py",
        "direction = (direction + slope(prediction)) / 2",
        "direction = slope(prediction)",
        (
            "test_samplers.py::test_second_order_samplers_reach_the_exact_flow_where_ddim_does_not",
            "test_samplers.py::test_errors_fall_with_the_order_of_the_method",
        ),
    ),
    Fault(
        "DPM-Solver's ratio of steps is upside down",
        "samplers/dpm.py",
        "h / (2 * previous_h)",
        "previous_h / (2 * h)",
        ("test_samplers.py::test_dpm_solver_agrees_with_diffusers",),
    ),
    Fault(
        "rho of the grid of Karras is its inverse",
        "samplers/grids.py",
        """\
    largest, smallest = (torch.exp(-end / (2 * rho)) for end in (low, high))
    roots = torch.lerp(largest, smallest, _fractions(n))
    return _from_log_snr(-2 * rho * roots.log(), schedule)
""",
        """\
    largest, smallest = (torch.exp(-end * rho / 2) for end in (low, high))
    roots = torch.lerp(largest, smallest, _fractions(n))
    return _from_log_snr(-2 / rho * roots.log(), schedule)
""",
        ("test_samplers.py::test_the_karras_grid_has_even_roots_of_the_noise",),
    ),
    Fault(
        "a grid is shifted the other way",
        "samplers/grids.py",
        "schedule.log_snr(times[1:]) - 2 * math.log(shift)",
        "schedule.log_snr(times[1:]) + 2 * math.log(shift)",
        ("test_samplers.py::test_a_shifted_grid_of_the_flow_is_the_formula_of_the_paper",),
    ),
    # --- sampling
    Fault(
        "predicted images are not clipped",
        "editing/base.py",
        "return Clipped(self.denoiser) if self.clip else self.denoiser",
        "return self.denoiser",
        ("test_model.py",),
    ),
    Fault(
        "the seed of samples is ignored",
        "model.py",
        "                seed=seed,\n                device=self.device,",
        "                device=self.device,",
        ("test_model.py::test_images_of_one_label_differ_from_each_other_and_between_seeds",),
    ),
    Fault(
        "inpainting keeps what is to be painted anew",
        "editing/known.py",
        "torch.where(self.unknown.to(x.device), x, known)",
        "torch.where(self.unknown.to(x.device), known, x)",
        ("test_inpainting.py::test_masks_and_images_may_be_one_for_each_result",),
    ),
    Fault(
        "mixed noise is not normalized",
        "editing/morphing.py",
        "norm = ((1 - self.weights).square() + self.weights.square()).sqrt()",
        "norm = torch.ones_like(self.weights)",
        ("test_morphing.py::test_mixed_noise_is_standard_normal_for_every_weight_and_draw",),
    ),
    # --- networks
    Fault(
        "sine and cosine change places",
        "nets/embeddings.py",
        "[angles.sin(), angles.cos()]",
        "[angles.cos(), angles.sin()]",
        ("test_nets.py",),
    ),
    Fault(
        "the frequencies of time begin elsewhere",
        "nets/embeddings.py",
        "10_000.0 **",
        "1_000.0 **",
        ("test_nets.py",),
    ),
    Fault(
        "the last class counts as no label",
        "nets/embeddings.py",
        "(labels == self.num_embeddings)[:, None]",
        "(labels == self.num_embeddings - 1)[:, None]",
        ("test_nets.py",),
    ),
    Fault(
        "a block is normalized in a single group",
        "nets/unet.py",
        "GroupNorm(divide(after, groups), after)",
        "GroupNorm(1, after)",
        ("test_nets.py",),
    ),
    Fault(
        "attention is not scaled",
        "nets/blocks.py",
        "F.scaled_dot_product_attention(q, k, v)",
        "F.scaled_dot_product_attention(q, k, v, scale=1.0)",
        ("test_nets.py",),
    ),
    # --- objectives
    Fault(
        "the weighting is squared",
        "objectives/denoising.py",
        "self.weighting(level, parametrization).sqrt()",
        "self.weighting(level, parametrization)",
        ("test_objectives.py::test_min_snr_weighs_as_published",),
    ),
    Fault(
        "labels are kept at the rate at which they should go",
        "objectives/denoising.py",
        "label_u.to(labels.device) < self.label_dropout",
        "label_u.to(labels.device) >= self.label_dropout",
        ("test_objectives.py::test_labels_are_dropped_image_by_image_at_the_rate_asked_for",),
    ),
    Fault(
        "the target of consistency is asked for without its labels",
        "objectives/consistency.py",
        "self._end(denoiser, x_r, r, labels)",
        "self._end(denoiser, x_r, r, None)",
        ("test_consistency.py",),
    ),
    Fault(
        "the teacher's second slope is that of another class",
        "objectives/consistency.py",
        "slope(self.teacher(x_r, time, labels))",
        "slope(self.teacher(x_r, time, None))",
        ("test_consistency.py",),
    ),
    Fault(
        "the critic's features are those of images without their noise",
        "objectives/critics.py",
        "t = schedule.snap(schedule.time_of(log_snr))",
        "t = schedule.snap(schedule.time_of(log_snr + 2))",
        ("test_adversarial.py",),
    ),
    Fault(
        "refinement prefers drawn images to real ones",
        "objectives/ddo.py",
        "(reference_error - error)",
        "(error - reference_error)",
        ("test_ddo.py",),
    ),
    Fault(
        "the generator is trained for the critic's side",
        "objectives/adversarial.py",
        "F.softplus(score - self._frozen_critic(fake, labels))",
        "F.softplus(self._frozen_critic(fake, labels) - score)",
        ("test_adversarial.py",),
    ),
    # --- training
    Fault(
        "the average takes its decay for its weight",
        "training/ema.py",
        "weight = 1 - min(self.decay, (1 + n) / (10 + n))",
        "weight = min(self.decay, (1 + n) / (10 + n))",
        ("test_ema.py::test_the_warm_up_follows_its_formula",),
    ),
    Fault(
        "the warm-up of the average is a step late",
        "training/ema.py",
        "min(self.decay, (1 + n) / (10 + n))",
        "min(self.decay, (2 + n) / (11 + n))",
        (
            "test_ema.py::test_the_warm_up_follows_its_formula",
            "test_ema.py::test_training_follows_the_formula_step_by_step",
        ),
    ),
    Fault(
        "the average is updated after the step is counted",
        "training/trainer.py",
        "self.state.ema.update(self.state.network, self.state.step, skip)",
        "self.state.ema.update(self.state.network, self.state.step + 1, skip)",
        ("test_ema.py::test_training_follows_the_formula_step_by_step",),
    ),
    Fault(
        "a checkpoint holds the weights instead of their average",
        "training/checkpoint.py",
        "all_whole(state.sampling_network.state_dict(), write)",
        "all_whole(state.network.state_dict(), write)",
        ("test_ema.py::test_the_averages_bits_survive_save_and_load",),
    ),
    Fault(
        "labels go with the images beside theirs",
        "training/trainer.py",
        "self.labels[rows[part]] if",
        "self.labels[rows[part].roll(1)] if",
        ("test_training.py::test_an_images_label_goes_with_it",),
    ),
    Fault(
        "every training step draws the same noise",
        "training/trainer.py",
        "generator(self.seed, Stream.DRAWS, state.step, 0)",
        "generator(self.seed, Stream.DRAWS, 0, 0)",
        (
            "test_objectives.py::"
            "test_the_noise_of_training_is_standard_normal_and_new_for_each_image",
        ),
    ),
    Fault(
        "gradients of the parts of a batch are added up, not averaged",
        "training/trainer.py",
        "loss = losses.sum() / len(rows)",
        "loss = losses.mean()",
        ("test_training.py::test_a_batch_in_parts_has_the_gradient_of_the_whole",),
    ),
    Fault(
        "the learning rate rises a step late",
        "training/optimizers.py",
        "return rate * (step + 1) / warmup",
        "return rate * step / warmup",
        ("test_training.py::test_the_learning_rate_rises_then_falls_as_asked",),
    ),
    Fault(
        "Muon steps along the momentum, without a look ahead",
        "training/muon.py",
        "list(torch._foreach_lerp(gradients, moments, MOMENTUM))",
        "[moment.clone() for moment in moments]",
        ("test_muon.py",),
    ),
    Fault(
        "Muon does not orthogonalize",
        "training/muon.py",
        "for _ in range(STEPS - 1):",
        "for _ in range(0):",
        ("test_muon.py",),
    ),
    Fault(
        "norms and biases decay too",
        "training/optimizers.py",
        '{"params": vectors, "weight_decay": 0.0}',
        '{"params": vectors, "weight_decay": training.decoupled_decay}',
        ("test_training.py::test_weight_decay_spares_biases_norms_and_adam",),
    ),
    Fault(
        "images repeat within an epoch",
        "training/batches.py",
        "torch.randperm(count, generator=generator(seed, Stream.ORDER, epoch))",
        "torch.randint(count, (count,), generator=generator(seed, Stream.ORDER, epoch))",
        ("test_batches.py",),
    ),
    Fault(
        "a resumed run begins with the first images again",
        "training/state.py",
        'self.images = int(tensors["images"])',
        "self.images = 0",
        ("test_training.py::test_a_resumed_run_ends_with_the_same_bits",),
    ),
    Fault(
        "a picture leaves the network in evaluation mode",
        "runs/folder.py",
        "        network.train(training)\n",
        "        network.eval()\n",
        ("test_run_pictures.py::test_a_picture_leaves_the_networks_in_the_mode_they_were_in",),
    ),
    # --- data
    Fault(
        "pixels are scaled to 0..1",
        "utils/pixels.py",
        "images.float() / 127.5 - 1",
        "images.float() / 255",
        ("test_pixels.py",),
    ),
    Fault(
        "pixels are cut off instead of rounded",
        "utils/pixels.py",
        "* 127.5).round().clamp(0, 255)",
        "* 127.5).clamp(0, 255)",
        ("test_pixels.py",),
    ),
    Fault(
        "red and blue change places",
        "data/cifar.py",
        ".reshape(-1, 3, 32, 32)",
        ".reshape(-1, 3, 32, 32)[:, ::-1].copy()",
        ("test_idx_sets.py::test_cifar_reads_planes_and_labels",),
    ),
    Fault(
        "pictures for testing are trained on as well",
        "data/listing.py",
        'if is_test == (split == "test")]',
        'if is_test or split == "train"]',
        ("test_own.py::test_about_one_picture_in_ten_is_kept_for_testing",),
    ),
    Fault(
        "digits are learnt in the mirror",
        "training/trainer.py",
        "x0 = pixels.to_float(self.images[rows[part]])",
        "x0 = pixels.to_float(self.images[rows[part]]).flip(-1)",
        ("test_data.py::test_training_sees_images_lit_on_the_left_on_the_left",),
    ),
    # --- measures
    Fault(
        "the Frechet distance has no square root",
        "evaluation/frechet.py",
        ".clamp(min=0).sqrt().sum()",
        ".clamp(min=0).sum()",
        ("test_metrics.py",),
    ),
    Fault(
        "precision and recall change places",
        "evaluation/precision_recall.py",
        """\
        "precision": (real_balls > 0).float().mean().item(),
        "recall": recall.float().mean().item(),
""",
        """\
        "recall": (real_balls > 0).float().mean().item(),
        "precision": recall.float().mean().item(),
""",
        ("test_metrics.py",),
    ),
    Fault(
        "the Inception Score averages over classes",
        "evaluation/classification.py",
        "p.mean(0, keepdim=True)",
        "p.mean(1, keepdim=True)",
        ("test_metrics.py",),
    ),
    Fault(
        "the confusion matrix is transposed",
        "evaluation/classification.py",
        "pairs = labels * classes + logits.argmax(1)",
        "pairs = logits.argmax(1) * classes + labels",
        ("test_metrics.py",),
    ),
]
