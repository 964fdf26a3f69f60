# A scripted session of git with fixed names and dates: the hashes must come out equal.
export GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=C GIT_COMMITTER_EMAIL=c@example.org
export GIT_AUTHOR_DATE='2001-02-03T04:05:06 +0000' GIT_COMMITTER_DATE='2001-02-03T04:05:06 +0000' GIT_PAGER=cat
set -e
git init -q -b main repo; cd repo
seq 100 >numbers; git add numbers; git commit -q -m first; git rev-parse HEAD
git checkout -q -b side; sed -i s/50/fifty/ numbers; git commit -q -am side
git checkout -q main; sed -i s/10$/ten/ numbers; mkdir d; seq 9 >d/nine; git add -A; git commit -q -m second
git merge -q --no-edit side; git log --graph --oneline --all; git diff --stat HEAD~1
printf '#!/bin/sh\necho hook ran as $(id -u)\n' >.git/hooks/pre-commit; chmod +x .git/hooks/pre-commit
echo more >>numbers; git commit -am hooked; git status; git tag v1; git describe --tags
git checkout -q -b clash HEAD~1; echo other >>numbers; git commit -q --no-verify -am clash
git merge v1 || echo "status $?"; git merge --abort; git rebase -q v1 || git rebase --abort
git stash list; git gc -q; git fsck --strict; git count-objects
cd ..; git clone -q repo copy; cd copy; git log -3 --format='%H %s'; git fetch -q; git archive v1 | sha256sum
git grep -n fifty; git blame -s numbers | sha256sum; git bundle create -q ../b.bundle --all; git bundle verify -q ../b.bundle
git worktree add -q ../tree v1; git -C ../tree status --short; git bisect start -q HEAD HEAD~2; git bisect run sh -c 'exit 0' | tail -1
for i in $(seq 300); do echo $i >f$i; done; git add .; git status --short | wc -l
