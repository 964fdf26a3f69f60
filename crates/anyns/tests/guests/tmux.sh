# A scripted session of tmux: a server of its own, two panes, typed keys, a killed window.
t() { tmux -L anyns -f /dev/null "$@"; }
until_shown() { i=0; until t capture-pane -p -t "$1" | grep -q "$2"; do
    i=$((i + 1)); test $i -lt 300 || { echo "no $2 in $1"; t capture-pane -p -t "$1"; t kill-server; exit 1; }
    sleep 0.05; done; }
until_runs() { i=0; until [ "$(t display-message -p -t "$1" '#{pane_current_command}')" = "$2" ]; do
    i=$((i + 1)); test $i -lt 300 || { echo "no $2 runs in $1"; t kill-server; exit 1; }
    sleep 0.05; done; }
export PS1='$ ' TMUX_TMPDIR=$HOME
t new-session -d -x 60 -y 12 -s one sh; until_shown one '^[$]$'
t send-keys -t one 'echo begin-$((6*7)); tty | cut -c1-8; id -u; stty size' Enter
until_shown one '12 60\|11 60'
t split-window -t one -v sh; until_shown one.1 '^[$]$'; t send-keys -t one.1 'echo second-$((2+3))' Enter; until_shown one.1 second-5
until_shown one.0 '^[$]$'; t send-keys -t one.0 'sleep 100' Enter; until_runs one.0 sleep; t send-keys -t one.0 C-c
until_shown one.0 '^[$]$'
t send-keys -t one.0 'echo after-interrupt-$?' Enter; until_shown one.0 after-interrupt-130
t list-panes -t one -F '#{pane_index} #{pane_width}x#{pane_height} #{pane_current_command} #{pane_dead}'
t capture-pane -p -t one.0 | sed 's/[[:space:]]*$//'; echo ==; t capture-pane -p -t one.1
t resize-window -t one -x 50 -y 10; until_shown one.1 '^[$]$'; t send-keys -t one.1 'until stty size | grep -q " 50"; do sleep 0.1; done; clear; stty size' Enter; until_shown one.1 '^[0-9]* 50$'
t capture-pane -p -t one.1 | head -1
t new-window -t one 'exit 3'; while t list-windows -t one | grep -q ^1; do sleep 0.05; done; t list-windows -t one -F '#{window_index} #{window_panes}'
t set-option -g status-right x; t show-options -g status-right; t display-message -p '#{session_name} #{host}'
t run-shell 'echo from run-shell'; t has-session -t two; echo "status $?"; t kill-server; echo "status $?"
