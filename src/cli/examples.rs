//! Examples at the end of each command's help.

pub(super) const ALL: &str = "\
Examples:
  hjbridge init my-first                      write a commented problem to my-first.json
  hjbridge check my-first.json                what will run, and how long it takes
  hjbridge solve my-first.json                the exact answer, to out/my-first/
  hjbridge bridge my-first.json --force       how PI-FT converges to it, in place of the files of the last run

Exit codes: 0 done; 1 a numerical failure, what was finished is written; 2 bad input, nothing is written;
3 ended by Ctrl-C, what was finished is written.";

pub(super) const INIT: &str = "\
Examples:
  hjbridge init                               my-problem.json: fine-tuning of two Gaussians
  hjbridge init geyser --kind data            geyser.json, and real data in geyser.csv
  hjbridge init well --kind controlled        well.json: any controlled diffusion, by formulas";

pub(super) const SCHEMA: &str = "\
Examples:
  hjbridge schema > hjbridge.schema.json      for an editor that completes and checks (VS Code: json.schemas)
  hjbridge schema controlled_diffusion        the fields of one kind, with their meanings";

pub(super) const CHECK: &str = "\
Examples:
  hjbridge check data/problems/ring_2d.json
  hjbridge check my-first.json --nodes 801    with flags of the run that it is to foretell

Times and memory are estimates from measured costs of a node and a step on two free cores: a factor of about 3, more where a run
refines by itself or tries several routes.";

pub(super) const SOLVE: &str = "\
Examples:
  hjbridge solve data/problems/mixture_1d.json
  hjbridge solve data/problems/ring_2d.json --nodes 129 --slices 33 --out coarse
  hjbridge solve data/problems/american_put.json --steps 400 --force";

pub(super) const ROLLOUT: &str = "\
Examples:
  hjbridge rollout data/problems/mixture_1d.json --paths 20000 --seed 7
  hjbridge rollout data/problems/mixture_1d.json --target-stderr 1e-3 --mlmc
  hjbridge rollout data/problems/ring_2d.json --checkpoint ring.checkpoint            and after Ctrl-C
  hjbridge rollout data/problems/ring_2d.json --checkpoint ring.checkpoint --resume
  hjbridge rollout data/problems/double_well_exit.json --horizon 40 --steps 4000";

pub(super) const SWEEP: &str = "\
Examples:
  hjbridge sweep data/problems/mixture_1d.json --kl-weight 0.35,0.7,1.4 --nodes 201 --steps 200";

pub(super) const PIFT: &str = "\
Examples:
  hjbridge pift data/problems/mixture_1d.json --steps 128
  hjbridge pift data/problems/mixture_1d.json --steps 128 --kernel both --variance posterior
  hjbridge pift data/problems/mixture_1d.json --steps 32 --parametric network --training-iterations 100
  hjbridge pift data/problems/mixture_1d.json --steps 32 --parametric network --training-iterations 200 \\
      --resume out/mixture-1d/training.json";

pub(super) const BRIDGE: &str = "\
Examples:
  hjbridge bridge data/problems/old_faithful_waiting.json
  hjbridge bridge data/problems/mixture_1d.json --steps 16,32,64 --nodes 401";

pub(super) const CERTIFY: &str = "\
Examples:
  hjbridge certify data/problems/mixture_1d.json out/mixture-1d/solution.npz          the policy that solve wrote
  hjbridge certify data/problems/mixture_1d.json mine.npz --paths 100000 --out judged";

pub(super) const BENCHMARK: &str = "\
Examples:
  hjbridge benchmark --quick
  hjbridge benchmark --only mixture-1d,ring-2d --out out/two";

pub(super) const COMPLETIONS: &str = "\
Examples:
  hjbridge completions bash > ~/.local/share/bash-completion/completions/hjbridge
  hjbridge completions zsh > ~/.zfunc/_hjbridge
  hjbridge completions fish > ~/.config/fish/completions/hjbridge.fish";
